"""Data: every operation of the HTTP API, for the OpenAPI document and `/docs`."""

from typing import Any

from sayline_tts.server.audio.formats import FORMAT_SPECS
from sayline_tts.server.http.lexicons import LexiconContent, LexiconEntry
from sayline_tts.server.http.openapi import REF, Operation, Schema
from sayline_tts.server.http.requests import OpenAISpeechRequest, SpeechRequest
from sayline_tts.server.http.tokens import TokenRequest

SOUND: Schema = {"description": "Audio in the requested format."}
AUDIO = {spec.content_type.partition(";")[0]: SOUND for spec in FORMAT_SPECS.values()}
SPEECH_ERRORS = (400, 401, 403, 413, 415, 429, 500, 503)


def _object(**fields: Any) -> Schema:
    return {"type": "object", "properties": fields, "required": list(fields)}


def _list(items: Schema) -> Schema:
    return {"type": "array", "items": items}


TEXT: Schema = {"type": "string"}
COUNT: Schema = {"type": "integer", "minimum": 0}
JSON = "application/json"
NAMED = _object(id=TEXT, name=TEXT)
VOICE: Schema = {
    **NAMED,
    "properties": {
        **NAMED["properties"],
        "kind": {"enum": ["built_in", "cloned"]},
        "description": {"type": "string", "description": "One line about a voice of the model, if there is one."},
        "created": {"type": "string", "format": "date-time"},
        "duration_s": {"type": "number", "description": "Length of the recording."},
        "advice": {"type": "array", "description": "How to improve the recording.", "items": {"type": "object"}},
    },
}
VOICE_ID: Schema = {
    "name": "id",
    "in": "path",
    "required": True,
    "schema": TEXT,
    "description": "Id or name of the voice.",
}
FILE: Schema = {"type": "string", "format": "binary"}
VOICE_FORM: Schema = {
    "type": "object",
    "required": ["consent"],
    "properties": {
        "file": {**FILE, "description": "5 to 30 s of clear speech in any common format, or a voice file."},
        "url": {
            **TEXT,
            "description": "An https:// URL instead of the file, if the server allows it (`--voice-urls`).",
        },
        "name": {**TEXT, "description": "Default: the id."},
        "consent": {"enum": ["true"], "description": "Confirms that the speaker agreed to this clone of the voice."},
    },
}
TTS_FORM: Schema = {
    "type": "object",
    "required": ["text"],
    "properties": {
        "text": {**TEXT, "description": "The text to speak."},
        "voice_url": {**TEXT, "description": "Name of a voice, or an https:// or hf:// URL of a recording."},
        "voice_wav": {**FILE, "description": "A recording to clone instead. It is not stored."},
        "lexicons": {**TEXT, "description": "Names of lexicons, separated by commas. Default: `default`."},
    },
}

_SPEECH = (
    Operation(
        "post", "/generate", "Speak a text and return a complete audio file.",
        "The response starts when all audio is generated. `/stream` starts earlier.",
        body=SpeechRequest, responses=AUDIO, errors=SPEECH_ERRORS,
        example="""curl localhost:8000/generate --json '{"text": "Hello there."}' -o hello.wav""",
    ),
    Operation(
        "post", "/stream", "Speak a text and stream audio from the first frame.",
        "If speech fails after the response has started, the connection is aborted before the end of the body.",
        body=SpeechRequest, responses=AUDIO, errors=SPEECH_ERRORS,
        example="""curl -N localhost:8000/stream --json '{"text": "Hello there.", "format": "mp3"}' | ffplay -""",
    ),
    Operation(
        "post", "/tts", "Speak a text; compatible with Pocket TTS' server.",
        "Streams WAV. Without a file, the form may also be URL-encoded.",
        form=TTS_FORM, responses={"audio/wav": SOUND}, errors=(*SPEECH_ERRORS[:3], 408, *SPEECH_ERRORS[3:]),
        example="curl localhost:8000/tts -F text='Hello there.' -F voice_wav=@me.wav -o hello.wav",
    ),
    Operation(
        "post", "/v1/audio/speech", "Speak a text; compatible with OpenAI's API.",
        "OpenAI's 13 voice names map to voices of this server. With `stream_format` `sse`, audio is sent as "
        "`speech.audio.delta` events, followed by `speech.audio.done`.",
        body=OpenAISpeechRequest, responses={**AUDIO, "text/event-stream": TEXT}, errors=SPEECH_ERRORS,
        example="""curl localhost:8000/v1/audio/speech -o hello.mp3 \\
  --json '{"model": "tts-1", "voice": "alloy", "input": "Hello there."}'""",
    ),
    Operation(
        "get", "/v1/models", "List the model in OpenAI's format.", errors=(401,),
        responses={JSON: _object(object=TEXT, data=_list(_object(id=TEXT, object=TEXT, created=COUNT, owned_by=TEXT)))},
    ),
)  # fmt: skip

_MODEL = _object(id=TEXT, object=TEXT, created=COUNT, owned_by=TEXT)
_MODELS = (
    Operation(
        "get", "/v1/models/{id}", "Show the model in OpenAI's format, by any name.", errors=(401,),
        parameters=({**VOICE_ID, "description": "Any name."},), responses={JSON: _MODEL},
    ),
    Operation(
        "get", "/v1/audio/models", "List the model as Open WebUI asks for it.", errors=(401,),
        responses={JSON: _object(models=_list(_object(id=TEXT)))},
    ),
)  # fmt: skip

_VOICES = (
    *(
        Operation(
            "get", path, "List the names of available voices.", tag="Voices", errors=(401,),
            responses={JSON: _object(voices=_list(NAMED), default=TEXT)},
        )
        for path in ("/voices", "/v1/audio/voices")
    ),
    Operation(
        "get", "/v1/voices", "List all voices with their metadata.", tag="Voices", errors=(401,),
        responses={JSON: _object(voices=_list(VOICE))},
    ),
    Operation(
        "post", "/v1/voices", "Clone a voice from a recording and store it.",
        "The voice belongs to the API key of the request. The response may advise how to improve the recording.",
        tag="Voices", form=VOICE_FORM, status=201, responses={JSON: VOICE},
        errors=(400, 401, 403, 408, 409, 413, 422, 503, 507),
        example="curl localhost:8000/v1/voices -F file=@me.wav -F name=Me -F consent=true",
    ),
    Operation(
        "get", "/v1/voices/{id}", "Show the metadata of a voice.", tag="Voices", parameters=(VOICE_ID,),
        responses={JSON: VOICE}, errors=(401, 404),
    ),
    Operation(
        "get", "/v1/voices/{id}/export", "Download the file of a cloned voice.", tag="Voices",
        parameters=(VOICE_ID,), responses={"application/octet-stream": FILE}, errors=(401, 404),
    ),
    Operation(
        "delete", "/v1/voices/{id}", "Delete a cloned voice. Speech in progress is not interrupted.", tag="Voices",
        parameters=(VOICE_ID,), status=204, errors=(401, 403, 404),
    ),
)  # fmt: skip


_LEXICON = {"name": TEXT, "size": COUNT, "shared": {"type": "boolean", "description": "Whether it is everybody's."}}
_ENTRY: Schema = {"$ref": REF.format(name=LexiconEntry.__name__)}
_LEXICON_NAME: Schema = {**VOICE_ID, "name": "name", "description": "Name of the lexicon."}
_LEXICONS = (
    Operation(
        "get", "/v1/lexicons", "List the lexicons that this key may use.", tag="Lexicons", errors=(401,),
        responses={JSON: _object(lexicons=_list(_object(**_LEXICON)))},
    ),
    Operation(
        "get", "/v1/lexicons/{name}", "Show a lexicon: this key's, or else everybody's of this name.",
        "With `Accept: text/csv` it is a CSV file.", tag="Lexicons", parameters=(_LEXICON_NAME,),
        responses={JSON: _object(**_LEXICON, entries=_list(_ENTRY)), "text/csv": TEXT}, errors=(401, 404),
    ),
    Operation(
        "put", "/v1/lexicons/{name}", "Store a lexicon, and replace the one of this name.",
        "It holds for texts that name it in `lexicons`; one of the name `default` for those that name none. CSV "
        "(`text/csv`) and W3C's PLS (`application/pls+xml`) are taken too; `skipped` counts lexemes without an alias.",
        body=LexiconContent, tag="Lexicons", parameters=(_LEXICON_NAME,),
        responses={JSON: _object(**_LEXICON, skipped=COUNT)}, errors=(400, 401, 403, 408, 409, 413, 415, 507),
        example="""curl -X PUT localhost:8000/v1/lexicons/default \\
  --json '{"entries": [{"written": "Nguyen", "said": "win"}]}'""",
    ),
    Operation(
        "delete", "/v1/lexicons/{name}", "Delete a lexicon.", tag="Lexicons", parameters=(_LEXICON_NAME,), status=204,
        errors=(401, 403, 404, 507),
    ),
)  # fmt: skip


def _page(path: str, summary: str, kind: str = "text/html", **more: Any) -> Operation:
    return Operation("get", path, summary, tag="Server", responses={kind: TEXT}, **more)


_STATUS = _object(status=TEXT)
_MS: Schema = {"type": "number", "minimum": 0}
_TOTALS = _object(
    utterances=COUNT, taken_chars=COUNT, billed_chars=COUNT, generated_ms=_MS, heard_ms=_MS, queued_ms=_MS,
    retries=COUNT,
)  # fmt: skip
_SERVER = (
    _page("/", "The web page for speech in a browser.", public=True),
    _page("/docs", "This API reference as a page; it works offline.", public=True),
    _page("/openapi.json", "This API reference as an OpenAPI document.", JSON, public=True),
    _page("/v1/asyncapi.json", "The WebSocket protocol as an AsyncAPI 3 document.", JSON, public=True),
    _page("/metrics", "Metrics for Prometheus.", "text/plain", errors=(401,)),
    Operation(
        "post", "/v1/tokens", "Mint a token for a browser.",
        "The token replaces the API key in a page of `origin`, which may speak with it but not clone voices.",
        body=TokenRequest, tag="Server", status=201, errors=(400, 401, 403, 413, 415),
        responses={JSON: _object(token=TEXT, expires={"type": "string", "format": "date-time"}, expires_in_s=_MS)},
        example="""curl localhost:8000/v1/tokens -H "Authorization: Bearer $KEY" \\
  --json '{"origin": "https://app.example", "ttl_s": 300, "contexts": 2}'""",
    ),
    Operation(
        "get", "/v1/usage", "List the usage of this key by month; of all keys for an operator's key.",
        "Months are those of UTC. Usage without a key is listed as `anonymous`.", tag="Server", errors=(401,),
        responses={JSON: _object(usage=_list(_object(key=TEXT, month=TEXT, totals=_TOTALS)))},
    ),
    Operation(
        "get", "/v1/stream", "WebSocket for live conversations.",
        "Connect with the subprotocol `sayline.v1.json` or `sayline.v1.msgpack`; see `docs/protocol.md`.",
        tag="Server", status=101, errors=(400, 401, 403),
    ),
    *(
        Operation(
            "get", path, summary, tag="Server", public=True, responses={JSON: _STATUS}, errors=(503,),
        )
        for path, summary in (
            ("/health", "Liveness; compatible with Pocket TTS' server."),
            ("/healthz", "Liveness, with the number of sessions and contexts."),
            ("/readyz", "Readiness: 503 with a `reason` while no new session is accepted."),
        )
    ),
)  # fmt: skip

OPERATIONS = (*_SPEECH, *_MODELS, *_VOICES, *_LEXICONS, *_SERVER)

"""Every operation that the server offers over HTTP, for `sayline_tts.server.http.openapi` and the pages made of it. Facts only."""

from typing import Any

from sayline_tts.server.audio.formats import RECIPES
from sayline_tts.server.http.openapi import Operation, Schema
from sayline_tts.server.http.requests import Speak, SpeakAsOpenAI

SOUND: Schema = {"description": "Audio in the format that was asked for."}
AUDIO = {recipe.content_type.partition(";")[0]: SOUND for recipe in RECIPES.values()}
SPEAKING_FAULTS = (400, 401, 403, 413, 415, 429, 500, 503)


def _object(**fields: Any) -> Schema:
    return {"type": "object", "properties": fields, "required": list(fields)}


def _list(of: Schema) -> Schema:
    return {"type": "array", "items": of}


TEXT: Schema = {"type": "string"}
COUNT: Schema = {"type": "integer", "minimum": 0}
JSON = "application/json"
NAMED = _object(id=TEXT, name=TEXT)
VOICE: Schema = {
    **NAMED,
    "properties": {
        **NAMED["properties"],
        "kind": {"enum": ["built_in", "cloned"]},
        "created": {"type": "string", "format": "date-time"},
        "duration_s": {"type": "number", "description": "Of the speech that it was made from."},
        "advice": {"type": "array", "description": "What would make a better voice.", "items": {"type": "object"}},
    },
}
VOICE_ID: Schema = {"name": "id", "in": "path", "required": True, "schema": TEXT, "description": "Id or name."}
FILE: Schema = {"type": "string", "format": "binary"}
VOICE_FORM: Schema = {
    "type": "object",
    "required": ["consent"],
    "properties": {
        "file": {**FILE, "description": "5 to 30 s of clear speech in any common format, or a voice file."},
        "url": {**TEXT, "description": "Instead of the file: an https:// address, where the server fetches any."},
        "name": {**TEXT, "description": "Left out: its id."},
        "consent": {"enum": ["true"], "description": "The speaker has agreed to this copy of the voice."},
    },
}
TTS_FORM: Schema = {
    "type": "object",
    "required": ["text"],
    "properties": {
        "text": {**TEXT, "description": "What to say."},
        "voice_url": {**TEXT, "description": "A voice's name, or an https:// or hf:// address of a recording."},
        "voice_wav": {**FILE, "description": "Or the recording itself. It is used once and not kept."},
    },
}

_SPEECH = (
    Operation(
        "post", "/generate", "Speak a text, and give the whole of it as a file.",
        "The answer begins when all is spoken. For a text of any length, `/stream` is heard earlier.",
        body=Speak, gives=AUDIO, faults=SPEAKING_FAULTS,
        example="""curl localhost:8000/generate --json '{"text": "Hello there."}' -o hello.wav""",
    ),
    Operation(
        "post", "/stream", "Speak a text, and stream it from the first frame on.",
        "An answer that breaks off without its regular end is not all of the speech.",
        body=Speak, gives=AUDIO, faults=SPEAKING_FAULTS,
        example="""curl -N localhost:8000/stream --json '{"text": "Hello there.", "format": "mp3"}' | ffplay -""",
    ),
    Operation(
        "post", "/tts", "Speak a text, as Pocket TTS's own server does.",
        "Gives a WAV stream. The form may be URL-encoded too, where it has no file.",
        form=TTS_FORM, gives={"audio/wav": SOUND}, faults=(*SPEAKING_FAULTS[:3], 408, *SPEAKING_FAULTS[3:]),
        example="curl localhost:8000/tts -F text='Hello there.' -F voice_wav=@me.wav -o hello.wav",
    ),
    Operation(
        "post", "/v1/audio/speech", "Speak a text, as OpenAI's API does.",
        "OpenAI's 13 names of voices stand for this server's. With `stream_format` `sse` the audio comes as events "
        "`speech.audio.delta`, the last is `speech.audio.done`.",
        body=SpeakAsOpenAI, gives={**AUDIO, "text/event-stream": TEXT}, faults=SPEAKING_FAULTS,
        example="""curl localhost:8000/v1/audio/speech -o hello.mp3 \\
  --json '{"model": "tts-1", "voice": "alloy", "input": "Hello there."}'""",
    ),
    Operation(
        "get", "/v1/models", "The model, as OpenAI lists models.", faults=(401,),
        gives={JSON: _object(object=TEXT, data=_list(_object(id=TEXT, object=TEXT, created=COUNT, owned_by=TEXT)))},
    ),
)  # fmt: skip

_VOICES = (
    *(
        Operation(
            "get", path, "The voices that may be spoken with, by name.", topic="Voices", faults=(401,),
            gives={JSON: _object(voices=_list(NAMED), default=TEXT)},
        )
        for path in ("/voices", "/v1/audio/voices")
    ),
    Operation(
        "get", "/v1/voices", "All voices, with what is known of them.", topic="Voices", faults=(401,),
        gives={JSON: _object(voices=_list(VOICE))},
    ),
    Operation(
        "post", "/v1/voices", "Make a voice of a recording, and keep it.",
        "It belongs to the key that it was made with. The answer says what would make it better.",
        topic="Voices", form=VOICE_FORM, status=201, gives={JSON: VOICE},
        faults=(400, 401, 403, 408, 409, 413, 422, 503, 507),
        example="curl localhost:8000/v1/voices -F file=@me.wav -F name=Me -F consent=true",
    ),
    Operation(
        "get", "/v1/voices/{id}", "What is known of one voice.", topic="Voices", parameters=(VOICE_ID,),
        gives={JSON: VOICE}, faults=(401, 404),
    ),
    Operation(
        "get", "/v1/voices/{id}/export", "The file of a voice that somebody made.", topic="Voices",
        parameters=(VOICE_ID,), gives={"application/octet-stream": FILE}, faults=(401, 404),
    ),
    Operation(
        "delete", "/v1/voices/{id}", "Delete a voice. Who speaks with it just now goes on.", topic="Voices",
        parameters=(VOICE_ID,), status=204, faults=(401, 403, 404),
    ),
)  # fmt: skip


def _page(path: str, summary: str, kind: str = "text/html", **more: Any) -> Operation:
    return Operation("get", path, summary, topic="Server", gives={kind: TEXT}, **more)


_STATUS = _object(status=TEXT)
_SERVER = (
    _page("/", "The page: speech in a browser.", public=True),
    _page("/docs", "This document, to be read.", public=True),
    _page("/openapi.json", "This document.", JSON, public=True),
    _page("/v1/asyncapi.json", "What is said on the WebSocket, as an AsyncAPI 3 document.", JSON, public=True),
    _page("/metrics", "Numbers for Prometheus.", "text/plain", faults=(401,)),
    Operation(
        "get", "/v1/stream", "The WebSocket for live conversation.",
        "Connect with the subprotocol `sayline.v1.json` or `sayline.v1.msgpack`; `docs/protocol.md` says what follows.",
        topic="Server", status=101, faults=(400, 401, 403),
    ),
    *(
        Operation(
            "get", path, summary, topic="Server", public=True, gives={JSON: _STATUS}, faults=(503,),
        )
        for path, summary in (
            ("/health", "Can it speak? As Pocket TTS's own server tells it."),
            ("/healthz", "Can it speak, and what goes on?"),
            ("/readyz", "May anything begin? Not while it stops."),
        )
    ),
)  # fmt: skip

OPERATIONS = (*_SPEECH, *_VOICES, *_SERVER)

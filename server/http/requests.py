"""JSON request bodies as validated structs."""

import asyncio
import re
from collections.abc import Mapping
from typing import Annotated, Literal, TypeVar

import msgspec
from aiohttp import web
from msgspec import Meta

from sayline_tts.engine.audio.time_stretch import MAX_SPEED, MIN_SPEED
from sayline_tts.engine.segment import MAX_DECODE_STEPS
from sayline_tts.server.audio.formats import MAX_RATE_HZ, MIN_RATE_HZ, Format
from sayline_tts.server.http.errors import RequestError
from sayline_tts.server.json_input import decode_json
from sayline_tts.server.lexicons.store import MAX_LEXICONS

BODY_S = 20.0  # for a client to send the body of a request, except for uploads

_MISSING = re.compile(r"Object missing required field `(\w+)`")
_BOUND = re.compile(r"Expected `(?:int|float)[^`]*` (>=|<=|>|<) ([-\d.e+]+) - at `\$\.(\w+)`")
_LENGTH = re.compile(r"Expected `str[^`]*` of length (>=|<=) (\d+) - at `\$\.(\w+)`")
_RELATIONS = {">=": "at least", "<=": "at most", ">": "more than", "<": "less than"}

Request = TypeVar("Request", bound=msgspec.Struct)

# Not an enum: `new_encoder` rejects unknown formats with an error that lists all of them.
FormatName = Annotated[str, Meta(max_length=20, extra_json_schema={"enum": [str(each) for each in Format]})]
VoiceName = Annotated[str, Meta(max_length=200)]
LexiconNames = Annotated[tuple[Annotated[str, Meta(max_length=64)], ...], Meta(max_length=MAX_LEXICONS)]
_FIELDS = re.compile(r"`\$\.(\w+)"), re.compile(r"field `(\w+)`")


class SpeechRequest(msgspec.Struct, frozen=True):
    """A text to speak. Omitted fields default to the server's or the model's choice."""

    text: Annotated[str, Meta(description="The text to speak.", examples=["Hello there, how are you?"])]
    voice: Annotated[VoiceName | None, Meta(description="Name or id of a voice.")] = None
    format: Annotated[FormatName, Meta(description="Audio format.")] = "wav"
    sample_rate_hz: Annotated[
        Annotated[int, Meta(ge=MIN_RATE_HZ, le=MAX_RATE_HZ)] | None,
        Meta(description="Default: the format's, 24000 for most. Some formats support only a few rates."),
    ] = None
    speed: Annotated[
        float, Meta(ge=MIN_SPEED, le=MAX_SPEED, description="Speaking rate; the pitch does not change.")
    ] = 1.0
    temperature: Annotated[
        Annotated[float, Meta(ge=0, le=10)] | None, Meta(description="Sampling temperature: higher is more varied.")
    ] = None
    seed: Annotated[
        Annotated[int, Meta(ge=0, lt=2**53)] | None, Meta(description="The same seed gives the same speech.")
    ] = None
    decode_steps: Annotated[
        Annotated[int, Meta(ge=1, le=MAX_DECODE_STEPS)],
        Meta(description="Steps of the flow decoder: more are slower, and better if the model was trained for it."),
    ] = 1
    clean_up: Annotated[bool, Meta(description="Normalize numbers, dates, links and Markdown before speaking.")] = True
    language: Annotated[
        Annotated[str, Meta(max_length=35)] | None, Meta(description="Language of the text. Default: the model's.")
    ] = None
    lexicons: Annotated[
        LexiconNames | None,
        Meta(description="Names of lexicons (`/v1/lexicons`), the more important ones first. Default: `default`."),
    ] = None
    cache: Annotated[
        bool | None,
        Meta(
            description="Keep this speech and repeat it. Default: if it has a seed, and neither digits nor addresses."
        ),
    ] = None


class VoiceId(msgspec.Struct, frozen=True):
    id: VoiceName


class OpenAISpeechRequest(msgspec.Struct, frozen=True):
    """OpenAI's speech request. `model` and `instructions` are accepted and ignored."""

    model: Annotated[str, Meta(max_length=200, examples=["tts-1"])]
    input: Annotated[str, Meta(description="The text to speak.", examples=["Hello there, how are you?"])]
    voice: Annotated[
        VoiceName | VoiceId,
        Meta(description="A voice of this server, or one of OpenAI's voice names.", examples=["alloy"]),
    ]
    response_format: FormatName | None = "mp3"
    speed: Annotated[
        Annotated[float, Meta(ge=0.25, le=4)] | None,
        Meta(description=f"Clamped to {MIN_SPEED:g} to {MAX_SPEED:g}."),
    ] = 1.0
    lexicons: Annotated[LexiconNames | None, Meta(description="As in `/generate`; an addition to OpenAI's.")] = None
    instructions: Annotated[str, Meta(max_length=4096)] | None = None
    stream_format: Literal["audio", "sse"] | None = "audio"

    @property
    def voice_name(self) -> str:
        return self.voice.id if isinstance(self.voice, VoiceId) else self.voice


async def read_json(request: web.Request, kind: type[Request]) -> Request:
    """Read the body within `BODY_S`. Raises `RequestError`, or aiohttp's error if the body is too large."""
    if request.content_type != "application/json":
        message = "unsupported Content-Type; send JSON with the header `Content-Type: application/json`"
        raise RequestError(message, code="unsupported_media_type")
    try:
        async with asyncio.timeout(BODY_S):
            data = await request.read()
    except TimeoutError:
        raise _too_slow() from None
    return parse_json(data, kind)


async def read_url_encoded(request: web.Request) -> Mapping[str, object]:
    """Read the fields of a URL-encoded form within `BODY_S`. Raises as `read_json`."""
    try:
        async with asyncio.timeout(BODY_S):
            return await request.post()
    except TimeoutError:
        raise _too_slow() from None
    except (LookupError, ValueError) as error:  # unknown charset, or bytes that are not valid in it
        raise RequestError(f"cannot decode the form ({str(error)[:100]}); send it as UTF-8") from None


def _too_slow() -> RequestError:
    return RequestError(f"the body took longer than {BODY_S:g} s; send it faster", code="too_slow")


def parse_json(data: bytes, kind: type[Request]) -> Request:
    """Raises `RequestError`."""
    try:
        return decode_json(lambda body: msgspec.json.decode(body, type=kind), data)
    except msgspec.ValidationError as error:
        raise RequestError(f"{readable(str(error))}; see /docs", _field(str(error))) from None
    except (msgspec.DecodeError, ValueError, RecursionError) as error:  # ValueError: not UTF-8
        raise RequestError(f"the body is not valid JSON ({str(error)[:100]}); check it and send it as UTF-8") from None


def check_text(text: str, max_chars: int, param: str) -> None:
    """Raises `RequestError`."""
    if len(text) > max_chars:
        message = f"text too long ({len(text)} characters, limit {max_chars} per request); split it"
        raise RequestError(message, param, "text_limit")
    if not text.strip():
        raise RequestError("the text is empty; send some words", param, "bad_text")


def readable(message: str) -> str:
    """A message of msgspec in the words of its reader: which field, and what it may be."""
    if missing := _MISSING.search(message):
        return f"{missing[1]} is missing"
    if bound := _BOUND.search(message):
        return f"{bound[3]} must be {_RELATIONS[bound[1]]} {float(bound[2]):.16g}"
    if length := _LENGTH.search(message):
        return f"{length[3]} must have {_RELATIONS[length[1]]} {length[2]} characters"
    return message


def _field(message: str) -> str | None:
    found = next(filter(None, (pattern.search(message) for pattern in _FIELDS)), None)
    return found[1] if found else None

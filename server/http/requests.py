"""What clients ask for over HTTP, checked: JSON bodies as typed messages. Knows no voice, no route, no socket."""

import re
from typing import Annotated, Literal, TypeVar

import msgspec
from aiohttp import web
from msgspec import Meta

from sayline_tts.engine.audio.time_stretch import FASTEST, SLOWEST
from sayline_tts.engine.segment import MAX_DECODE_STEPS
from sayline_tts.server.audio.formats import MAX_RATE_HZ, MIN_RATE_HZ, Format
from sayline_tts.server.http.errors import RequestError

Request = TypeVar("Request", bound=msgspec.Struct)

# Whether there is such a one is said by who makes encoders, with the names of all.
FormatName = Annotated[str, Meta(max_length=20, extra_json_schema={"enum": [str(each) for each in Format]})]
VoiceName = Annotated[str, Meta(max_length=200)]
_FIELDS = re.compile(r"`\$\.(\w+)"), re.compile(r"field `(\w+)`")


class Speak(msgspec.Struct, frozen=True):
    """A text to speak. What is left out is the server's or the model's own choice."""

    text: Annotated[str, Meta(description="What to say, as it is written.", examples=["Hello there, how are you?"])]
    voice: Annotated[VoiceName | None, Meta(description="Name or id of a voice.")] = None
    format: Annotated[FormatName, Meta(description="Of the audio.")] = "wav"
    sample_rate_hz: Annotated[
        Annotated[int, Meta(ge=MIN_RATE_HZ, le=MAX_RATE_HZ)] | None,
        Meta(description="Left out: what is usual for the format, 24000 for most. Some formats have but a few rates."),
    ] = None
    speed: Annotated[float, Meta(ge=SLOWEST, le=FASTEST, description="Of speech; its pitch stays.")] = 1.0
    temperature: Annotated[
        Annotated[float, Meta(ge=0, le=10)] | None, Meta(description="How varied the voice speaks.")
    ] = None
    seed: Annotated[
        Annotated[int, Meta(ge=0, lt=2**53)] | None, Meta(description="The same seed gives the same speech.")
    ] = None
    decode_steps: Annotated[
        Annotated[int, Meta(ge=1, le=MAX_DECODE_STEPS)],
        Meta(description="Of the flow head: more are slower, and finer where the model is made for it."),
    ] = 1
    clean_up: Annotated[bool, Meta(description="Say numbers, dates, links and Markdown as a person would.")] = True
    language: Annotated[
        Annotated[str, Meta(max_length=35)] | None, Meta(description="Of the text; left out: the model's.")
    ] = None


class VoiceId(msgspec.Struct, frozen=True):
    id: VoiceName


class SpeakAsOpenAI(msgspec.Struct, frozen=True):
    """OpenAI's request. `model` and `instructions` are taken and change nothing: there is one model."""

    model: Annotated[str, Meta(max_length=200, examples=["tts-1"])]
    input: Annotated[str, Meta(description="What to say.", examples=["Hello there, how are you?"])]
    voice: Annotated[
        VoiceName | VoiceId, Meta(description="One of this server's, or one of OpenAI's names.", examples=["alloy"])
    ]
    response_format: FormatName | None = "mp3"
    speed: Annotated[
        Annotated[float, Meta(ge=0.25, le=4)] | None,
        Meta(description=f"Beyond {SLOWEST:g} and {FASTEST:g} it is as there."),
    ] = 1.0
    instructions: Annotated[str, Meta(max_length=4096)] | None = None
    stream_format: Literal["audio", "sse"] | None = "audio"

    @property
    def voice_name(self) -> str:
        return self.voice.id if isinstance(self.voice, VoiceId) else self.voice


async def read_json(request: web.Request, kind: type[Request]) -> Request:
    """Raises `RequestError`, or aiohttp's own where the body is too large."""
    if request.content_type != "application/json":
        told = "send JSON, with the header `Content-Type: application/json`"
        raise RequestError(told, code="unsupported_media_type")
    return parse_json(await request.read(), kind)


def parse_json(data: bytes, kind: type[Request]) -> Request:
    """Raises `RequestError`."""
    try:
        return msgspec.json.decode(data, type=kind)
    except msgspec.ValidationError as error:
        raise RequestError(f"{error}; see /docs", _field(str(error))) from None
    except (msgspec.DecodeError, ValueError, RecursionError) as error:  # ValueError: not UTF-8
        raise RequestError(f"that is not JSON ({str(error)[:100]})") from None


def check_text(text: str, max_chars: int, param: str) -> None:
    """Raises `RequestError`."""
    if len(text) > max_chars:
        told = f"the text has {len(text)} characters, and {max_chars} are the most in one request; send it in parts"
        raise RequestError(told, param, "text_limit")
    if not text.strip():
        raise RequestError("the text is empty; send some words", param, "bad_text")


def _field(told: str) -> str | None:
    found = next(filter(None, (pattern.search(told) for pattern in _FIELDS)), None)
    return found[1] if found else None

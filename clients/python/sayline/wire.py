"""The native protocol, version 1, seen from the client: messages to bytes and back. Knows no socket and no order.

Two encodings say the same. `sayline.v1.json`: every message a text frame of JSON, but audio, which is a binary frame
of a 16-byte big-endian header (kind 1, length of the context's name, two bytes of zero, sequence number, first
sample), the context's name and the payload. `sayline.v1.msgpack`: every message a binary frame, one map.
"""

import json
import struct
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, fields
from enum import StrEnum
from types import MappingProxyType
from typing import Any, assert_never

import msgpack

from sayline.errors import ProtocolError

AUDIO_KIND = 1
AUDIO_HEADER = struct.Struct("!BBHIQ")  # kind, bytes of the context's name, reserved, seq, start_sample


class Encoding(StrEnum):
    """How a session writes its messages; the value is the WebSocket subprotocol."""

    JSON = "sayline.v1.json"
    MSGPACK = "sayline.v1.msgpack"


# What the client says. A field that is None is left out, and the server's own default holds.


@dataclass(frozen=True, slots=True)
class Start:
    context_id: str
    voice: str | None = None
    format: str | None = None
    seed: int | None = None
    temperature: float | None = None
    max_lead_ms: float | None = None
    wait: bool | None = None


@dataclass(frozen=True, slots=True)
class Text:
    context_id: str
    text: str


@dataclass(frozen=True, slots=True)
class Flush:
    context_id: str


@dataclass(frozen=True, slots=True)
class End:
    context_id: str


@dataclass(frozen=True, slots=True)
class Cancel:
    context_id: str


@dataclass(frozen=True, slots=True)
class Played:
    """How much of the context's audio has been heard."""

    context_id: str
    played_ms: float


ClientMessage = Start | Text | Flush | End | Cancel | Played


# What the server says.


@dataclass(frozen=True, slots=True)
class Ready:
    """The first message of a session: what speaks here, and how its audio is cut."""

    protocol: str
    server: str
    model: str
    voices: tuple[str, ...]
    default_voice: str
    sample_rate_hz: int
    frame_ms: float
    opus_pre_skip: int  # samples that an Opus decoder gives before the first true one


@dataclass(frozen=True, slots=True)
class Queued:
    """The server is full and this context waits; `place` 1 is the next. Comes again whenever it changes."""

    context_id: str
    place: int


@dataclass(frozen=True, slots=True)
class Audio:
    context_id: str
    seq: int
    start_sample: int
    data: bytes


@dataclass(frozen=True, slots=True)
class Segment:
    """A piece of the text, and when it is heard, counted from the start of the context's audio."""

    context_id: str
    text: str
    start_ms: float
    end_ms: float


@dataclass(frozen=True, slots=True)
class Done:
    context_id: str
    duration_ms: float


@dataclass(frozen=True, slots=True)
class Cancelled:
    context_id: str
    duration_ms: float


@dataclass(frozen=True, slots=True)
class Error:
    """`final`: the context is over. Otherwise one message was refused and nothing ended.

    `context_id` is None when the message at fault named none. `retry_after_ms`: the same has a chance after so long.
    """

    code: str
    message: str
    final: bool = False
    context_id: str | None = None
    retry_after_ms: float | None = None


@dataclass(frozen=True, slots=True)
class Unknown:
    """A message of a type that a later server may know. Not an error: leave it aside."""

    type: str
    fields: Mapping[str, Any]


KnownMessage = Ready | Queued | Audio | Segment | Done | Cancelled | Error
ServerMessage = KnownMessage | Unknown

TYPE_NAMES: Mapping[type[ClientMessage], str] = MappingProxyType(
    {Start: "start", Text: "text", Flush: "flush", End: "end", Cancel: "cancel", Played: "played"}
)
SERVER_TYPES: Mapping[str, type[KnownMessage]] = MappingProxyType(
    {
        "ready": Ready,
        "queued": Queued,
        "audio": Audio,
        "segment": Segment,
        "done": Done,
        "cancelled": Cancelled,
        "error": Error,
    }
)


def encode(message: ClientMessage, encoding: Encoding) -> str | bytes:
    """The WebSocket frame of a message: `str` is a text frame, `bytes` a binary one."""
    content: dict[str, Any] = {"type": TYPE_NAMES[type(message)]}
    for field in fields(message):
        value = getattr(message, field.name)
        if value is not None:
            content[field.name] = speakable(value) if isinstance(value, str) else value
    match encoding:
        case Encoding.JSON:
            return json.dumps(content, ensure_ascii=False, separators=(",", ":"))
        case Encoding.MSGPACK:
            packed: bytes = msgpack.packb(content)
            return packed
        case _:
            assert_never(encoding)


def speakable(text: str) -> str:
    """Without lone surrogates, which no encoding can carry and no voice can speak."""
    return text.encode("utf-8", "ignore").decode()


def decode(frame: str | bytes, encoding: Encoding) -> ServerMessage:
    """The message in one WebSocket frame. Raises `ProtocolError` for a frame that is not one."""
    if encoding is Encoding.JSON and isinstance(frame, bytes):
        return decode_audio(frame)
    if encoding is Encoding.MSGPACK and isinstance(frame, str):
        raise ProtocolError(f"a text frame in a session that speaks {encoding}: {excerpt(frame)}")
    try:
        content = json.loads(frame) if isinstance(frame, str) else msgpack.unpackb(frame)
    except (ValueError, RecursionError, msgpack.UnpackException) as error:
        raise ProtocolError(f"a frame that is not {encoding}: {excerpt(frame)}") from error
    if not isinstance(content, dict) or not isinstance(content.get("type"), str):
        raise ProtocolError(f"a message without a type: {excerpt(frame)}")
    kind = SERVER_TYPES.get(content["type"])
    return Unknown(content.pop("type"), content) if kind is None else build(kind, content)


def decode_audio(frame: bytes) -> Audio | Unknown:
    """A binary frame of `sayline.v1.json`. Kinds other than audio are for later servers."""
    if len(frame) < AUDIO_HEADER.size:
        raise ProtocolError(f"an audio frame of {len(frame)} bytes: its header alone has {AUDIO_HEADER.size}")
    kind, name_bytes, _, seq, start_sample = AUDIO_HEADER.unpack_from(frame)
    if kind != AUDIO_KIND:
        return Unknown(f"binary kind {kind}", {})
    data_at = AUDIO_HEADER.size + name_bytes
    if not 1 <= name_bytes <= 64 or len(frame) < data_at:
        raise ProtocolError(f"an audio frame with a damaged header: {excerpt(frame)}")
    try:
        context_id = frame[AUDIO_HEADER.size : data_at].decode()
    except UnicodeDecodeError as error:
        raise ProtocolError(f"an audio frame of a context whose name is not UTF-8: {excerpt(frame)}") from error
    return Audio(context_id, seq, start_sample, frame[data_at:])


def build(kind: type[KnownMessage], content: Mapping[str, Any]) -> KnownMessage:
    """A message of this kind, every field of its own type; fields that it does not have are left aside."""
    values: dict[str, Any] = {}
    for field in fields(kind):
        value = content.get(field.name)
        if value is None and field.default is not MISSING:
            continue
        if not fits(value, field.type):
            raise ProtocolError(f"{content['type']}.{field.name} cannot be {excerpt(value)}")
        values[field.name] = tuple(value) if isinstance(value, list) else value
    return kind(**values)


def fits(value: object, kind: object) -> bool:
    """Whether a field of this type may hold the value, as it comes out of the encoding."""
    if kind in (float, float | None):  # a whole number may be written without a point
        return isinstance(value, int | float) and not isinstance(value, bool)
    if kind is int:
        return isinstance(value, int) and not isinstance(value, bool)
    if kind == tuple[str, ...]:
        return isinstance(value, list) and all(isinstance(item, str) for item in value)
    return isinstance(value, kind if kind in (bool, bytes) else str)


def excerpt(value: object, length: int = 60) -> str:
    text = repr(value[:length] if isinstance(value, str | bytes) else value)
    return text if len(text) <= length else text[: length - 3] + "..."

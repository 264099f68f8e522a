"""The native protocol v1 without I/O: messages, how they look on the wire, and the life of a context.

Knows no socket, no clock and no model. Two encodings carry the same messages: JSON text frames (audio alone is a
binary frame behind a small header) and MessagePack binary frames.
"""

import re
import struct
from enum import Enum
from typing import Annotated, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType

VERSION = "sayline.v1"
MAX_ID_BYTES = 64
MAX_MESSAGE_BYTES = 64 * 1024


class Encoding(Enum):
    JSON = "json"
    MSGPACK = "msgpack"

    @property
    def subprotocol(self) -> str:
        return f"{VERSION}.{self.value}"


class _Message(msgspec.Struct, frozen=True, tag_field="type", tag=str.lower):
    """On the wire a map whose "type" is the class's name. Fields that a peer does not know are ignored."""


class _FromClient(_Message, frozen=True):
    context_id: str


class Start(_FromClient, frozen=True):
    """Open a context. What is left out is the server's or the model's own choice."""

    voice: Annotated[str, Meta(max_length=200)] | None = None
    format: Literal["opus", "pcm"] = "opus"
    seed: Annotated[int, Meta(ge=0, lt=2**53)] | None = None  # what every JSON reader holds exactly
    temperature: Annotated[float, Meta(ge=0, le=10)] | None = None
    max_lead_ms: Annotated[float, Meta(ge=80, le=600_000)] | None = None
    wait: bool = True  # in the queue, where the server is full; False: an error at once


class Text(_FromClient, frozen=True):
    text: str


class Flush(_FromClient, frozen=True):
    """Speak what waits, without waiting for its sentence to end."""


class End(_FromClient, frozen=True):
    """No more text: speak what waits, then `Done`."""


class Cancel(_FromClient, frozen=True):
    """Be silent at once; answered by `Cancelled`."""


class Played(_FromClient, frozen=True):
    """So much of this context's audio has been heard. Counts from its start, silence between frames left out."""

    played_ms: Annotated[float, Meta(ge=0, le=2**53)]


class Ready(_Message, frozen=True):
    """Once, before all else."""

    protocol: str
    server: str
    model: str
    voices: tuple[str, ...]
    default_voice: str
    sample_rate_hz: int
    frame_ms: float
    opus_pre_skip: int  # samples at sample_rate_hz that an Opus decoder gives before the first true one


class Queued(_Message, frozen=True):
    """The server is full and this context waits; `place` 1 is the next. Said again whenever it changes."""

    context_id: str
    place: int


class Audio(_Message, frozen=True):
    """One frame: an Opus packet, or 16-bit little-endian mono PCM. `start_sample` counts from the context's start."""

    context_id: str
    seq: int
    start_sample: int
    data: bytes


class Segment(_Message, frozen=True):
    """Text that has been spoken, and where in the context's audio. Comes behind the last audio of it."""

    context_id: str
    text: str
    start_ms: float
    end_ms: float


class Done(_Message, frozen=True):
    context_id: str
    duration_ms: float


class Cancelled(_Message, frozen=True):
    """`duration_ms` of audio were sent before; none is sent after."""

    context_id: str
    duration_ms: float


class Error(_Message, frozen=True):
    """`final`: this was the context's last event. Otherwise nothing ended, only the one message was refused.

    `retry_after_ms`: the same has a chance when so much time has gone by. Left out where waiting would not help.
    """

    code: str
    message: str
    final: bool = False
    context_id: str | UnsetType = UNSET
    retry_after_ms: float | UnsetType = UNSET


ClientMessage = Start | Text | Flush | End | Cancel | Played
ServerEvent = Ready | Queued | Audio | Segment | Done | Cancelled | Error


class ContextState(Enum):
    OPEN = "open"  # takes text
    ENDING = "ending"  # speaks what is left
    DONE = "done"
    CANCELLED = "cancelled"
    FAILED = "failed"

    @property
    def over(self) -> bool:
        return not LEGAL_MOVES[self]


LEGAL_MOVES: dict[ContextState, set[ContextState]] = {
    ContextState.OPEN: {ContextState.ENDING, ContextState.CANCELLED, ContextState.FAILED},
    ContextState.ENDING: {ContextState.DONE, ContextState.CANCELLED, ContextState.FAILED},
    ContextState.DONE: set(),
    ContextState.CANCELLED: set(),
    ContextState.FAILED: set(),
}


class ProtocolError(Exception):
    """The peer's mistake. `refused_start`: the context that it tried to start does not exist."""

    def __init__(self, code: str, message: str, context_id: str | None = None, refused_start: bool = False) -> None:
        super().__init__(message)
        self.code, self.message, self.context_id, self.refused_start = code, message, context_id, refused_start


class _Head(msgspec.Struct):
    """What can be told of a message that is not valid as a whole."""

    type: str | None = None
    context_id: str | None = None


_TYPES = tuple(kind.__struct_config__.tag for kind in (Start, Text, Flush, End, Cancel, Played))
_MALFORMED = (msgspec.MsgspecError, UnicodeError, RecursionError)
_HALF_CHARACTER = re.compile(
    r"\\u[dD][89abAB]..(?!\\u[dD][c-fC-F])|(?<!\\u[dD][89abAB]..)\\u[dD][c-fC-F]"  # a pair's first or second half
)
_AUDIO_HEADER = struct.Struct(">BBHIQ")  # kind, bytes of context_id, reserved, seq, start_sample
_AUDIO_KIND = 1

_Decoder = msgspec.json.Decoder[ClientMessage] | msgspec.msgpack.Decoder[ClientMessage]
_decoders: dict[Encoding, _Decoder] = {
    Encoding.JSON: msgspec.json.Decoder(ClientMessage),
    Encoding.MSGPACK: msgspec.msgpack.Decoder(ClientMessage),
}
_HeadDecoder = msgspec.json.Decoder[_Head] | msgspec.msgpack.Decoder[_Head]
_head_decoders: dict[Encoding, _HeadDecoder] = {
    Encoding.JSON: msgspec.json.Decoder(_Head),
    Encoding.MSGPACK: msgspec.msgpack.Decoder(_Head),
}


def parse(raw: str | bytes, encoding: Encoding) -> ClientMessage:
    """Raises `ProtocolError` and nothing else, whatever comes."""
    if isinstance(raw, str) != (encoding is Encoding.JSON):
        kind = "text" if encoding is Encoding.JSON else "binary"
        raise ProtocolError("bad_message", f"{encoding.subprotocol} takes {kind} frames")
    try:
        data = raw.encode() if isinstance(raw, str) else raw
        if len(data) > MAX_MESSAGE_BYTES:
            limit = f"the message has {len(data)} bytes, at most {MAX_MESSAGE_BYTES} are taken"
            raise ProtocolError("message_too_big", f"{limit}; send the text in pieces")
        message = _decoders[encoding].decode(data)
    except _MALFORMED as error:
        raise _explain(error, raw, encoding) from None
    if not _is_good_id(message.context_id):
        length_bytes = len(message.context_id.encode())
        raise ProtocolError("bad_message", f"context_id has {length_bytes} bytes; give 1 to {MAX_ID_BYTES}")
    return message


def serialize(event: ServerEvent, encoding: Encoding) -> str | bytes:
    """A text frame (str) or a binary one (bytes)."""
    if encoding is Encoding.MSGPACK:
        return msgspec.msgpack.encode(event)
    if isinstance(event, Audio):
        name = event.context_id.encode()
        header = _AUDIO_HEADER.pack(_AUDIO_KIND, len(name), 0, event.seq, event.start_sample)
        return header + name + event.data
    return msgspec.json.encode(event).decode()


def _explain(error: Exception, raw: str | bytes, encoding: Encoding) -> ProtocolError:
    try:
        head = _head_decoders[encoding].decode(raw.encode() if isinstance(raw, str) else raw)
    except _MALFORMED:
        return ProtocolError("bad_message", _describe(error, raw, encoding))
    context_id = head.context_id if head.context_id is not None and _is_good_id(head.context_id) else None
    if head.type is not None and head.type not in _TYPES:
        known = ", ".join(map(str, _TYPES))
        return ProtocolError("unknown_type", f"no message type {head.type[:40]!r}; there are: {known}", context_id)
    told = _describe(error, raw, encoding)
    return ProtocolError("bad_message", told, context_id, refused_start=head.type == "start")


def _describe(error: Exception, raw: str | bytes, encoding: Encoding) -> str:
    if isinstance(error, RecursionError):
        return "the message is nested too deeply"
    if isinstance(error, UnicodeError) or (isinstance(raw, str) and _HALF_CHARACTER.search(raw)):
        return "the text holds half a character (a lone surrogate); send whole characters"
    if isinstance(error, msgspec.ValidationError):
        return str(error)
    return f"not {'JSON' if encoding is Encoding.JSON else 'MessagePack'}: {error}"


def _is_good_id(context_id: str) -> bool:
    return 1 <= len(context_id.encode()) <= MAX_ID_BYTES

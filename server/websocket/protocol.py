"""The native protocol v1 without I/O: its messages, their encodings, and the states of a context.

Two encodings carry the same messages: MessagePack in binary frames, and JSON in text frames. With JSON, audio is a
binary frame with a small header.
"""

import re
import struct
from enum import Enum, IntEnum
from typing import Annotated, Literal, get_args

import msgspec
from msgspec import UNSET, Meta, UnsetType

from sayline_tts.engine.segment import MAX_DECODE_STEPS

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
    """A map whose "type" is the lowercase class name. Unknown fields are ignored."""


# Messages from the client. All except `Resume` belong to a context.


class _ContextMessage(_Message, frozen=True):
    context_id: str


class Start(_ContextMessage, frozen=True):
    """Open a context. Omitted options are chosen by the server or the model."""

    voice: Annotated[str, Meta(max_length=200)] | None = None
    format: Literal["opus", "pcm"] = "opus"
    seed: Annotated[int, Meta(ge=0, lt=2**53)] | None = None  # exact in every JSON parser
    temperature: Annotated[float, Meta(ge=0, le=10)] | None = None
    max_lead_ms: Annotated[float, Meta(ge=80, le=600_000)] | None = None
    wait: bool = True  # queue if the server is full; False: fail at once
    mode: Literal["managed", "verbatim"] = "managed"  # the server finds sentences; each message is one phrase
    clean_up: bool = True  # verbalize numbers, dates, links, Markdown, ...
    language: Annotated[str, Meta(max_length=35)] | None = None  # of the clean-up; None: the model's language
    speed: Annotated[float, Meta(ge=0.5, le=2)] = 1.0  # pitch is unchanged
    max_delay_ms: Annotated[float, Meta(ge=0, le=60_000)] | None = None  # longest wait of an incomplete sentence
    decode_steps: Annotated[int, Meta(ge=1, le=MAX_DECODE_STEPS)] = 1  # of the flow head; ignored by one-step heads


class Text(_ContextMessage, frozen=True):
    """Append text. It may be split anywhere; whitespace is part of it."""

    text: str


class Flush(_ContextMessage, frozen=True):
    """Speak all pending text now, even if its sentence is incomplete. The answer is `Flushed`."""

    id: Annotated[str, Meta(max_length=64)] | None = None  # returned in the answer


class End(_ContextMessage, frozen=True):
    """End the text: speak what is pending, then send `Done`."""


class Cancel(_ContextMessage, frozen=True):
    """Stop at once. The answer is `Cancelled`. `played_ms`: how much has been played, as in `Ack`."""

    played_ms: Annotated[float, Meta(ge=0, le=2**53)] | None = None


class Ack(_ContextMessage, frozen=True):
    """Report how much of the context's audio has been played, not counting gaps between frames."""

    played_ms: Annotated[float, Meta(ge=0, le=2**53)]


class Resume(_Message, frozen=True):
    """Resume the session with this token after a lost connection. Must be the first message of a connection.

    `contexts`: for each context whose last event has not arrived, the highest `seq` received, or -1 if none was.
    Contexts that are not listed are cancelled. The answer is `Resumed`.
    """

    token: Annotated[str, Meta(max_length=64)]
    contexts: dict[str, Annotated[int, Meta(ge=-1)]] = {}


# Events from the server. `seq` numbers all events of a context from 0 without a gap.


class Ready(_Message, frozen=True):
    """The first message of a connection. `token` authorizes `Resume`; keep it secret."""

    protocol: str
    server: str
    model: str
    voices: tuple[str, ...]
    default_voice: str
    sample_rate_hz: int
    frame_ms: float
    opus_pre_skip: int  # samples at sample_rate_hz to drop from the start of the decoded Opus stream
    session_id: str = ""
    token: str = ""
    resume_s: float = 0.0  # how long the session can be resumed after a lost connection; 0: never


class Resumed(_Message, frozen=True):
    """If `recovered`, the old session continues here under its old id and token, and the missed events follow.

    `contexts` then holds the number of messages that the server has received for each context (`start`, `text`,
    `flush`, `end` and `cancel`); send the later ones again. Otherwise the old session is gone and this is a new one.
    """

    recovered: bool
    session_id: str
    contexts: dict[str, int]
    message: str


class Queued(_Message, frozen=True):
    """The server is full and the context is queued; `place` 1 is next. Sent again whenever it changes."""

    context_id: str
    seq: int
    place: int


class Audio(_Message, frozen=True):
    """One frame: an Opus packet, or 16-bit little-endian mono PCM. `start_sample` counts from the context's start."""

    context_id: str
    seq: int
    start_sample: int
    data: bytes


class Word(_Message, frozen=True):
    """A word as written, its offsets in all text of the context, its spoken form, and its time in the audio.

    Sent no later than its audio. If `estimated`, only the segment's bounds are exact. Otherwise `start_ms` is exact,
    `end_ms` is a prediction, and `WordEnd` reports the exact end.
    """

    context_id: str
    seq: int
    text: str
    start_char: int
    end_char: int
    spoken: str
    start_ms: float
    end_ms: float
    estimated: bool


class WordEnd(_Message, frozen=True, tag="word_end"):
    """The exact end of a word whose times are not estimated. Sent no later than the audio in which it ends."""

    context_id: str
    seq: int
    start_char: int
    end_char: int
    start_ms: float
    end_ms: float


class Segment(_Message, frozen=True):
    """Text that has been spoken, as written, and its bounds in the audio. Sent after its last audio."""

    context_id: str
    seq: int
    text: str
    start_char: int
    end_char: int
    start_ms: float
    end_ms: float


class Flushed(_Message, frozen=True):
    """All text before this `Flush` has been spoken and its audio has been sent; the audio ends at `at_ms`."""

    context_id: str
    seq: int
    at_ms: float
    id: str | UnsetType = UNSET


class Done(_Message, frozen=True):
    """Everything has been spoken and sent."""

    context_id: str
    seq: int
    duration_ms: float


class Cancelled(_Message, frozen=True):
    """Ends a cancelled context: `duration_ms` of audio had been sent, `generated_ms` generated.

    `heard_text` + `unheard_text` is the text as sent, split at `heard_chars`: after the last word of which at least
    half was played, as reported by the client or else by the clock. A very long `heard_text` contains only its end.
    """

    context_id: str
    seq: int
    duration_ms: float
    generated_ms: float
    heard_chars: int
    heard_text: str
    unheard_text: str


class Error(_Message, frozen=True):
    """`final`: this is the context's last event. Otherwise only one message was refused and nothing has ended.

    `retry_after_ms`: when to retry; absent if waiting does not help. `seq` is present if the error belongs to a context
    that is open or ends with it.
    """

    code: str
    message: str
    final: bool = False
    context_id: str | UnsetType = UNSET
    retry_after_ms: float | UnsetType = UNSET
    seq: int | UnsetType = UNSET


ContextMessage = Start | Text | Flush | End | Cancel | Ack
ClientMessage = ContextMessage | Resume
ContextEvent = Queued | Audio | Word | WordEnd | Segment | Flushed | Done | Cancelled | Error
ServerEvent = Ready | Resumed | ContextEvent


class CloseCode(IntEnum):
    """Why the server closes a connection. Codes from 4000 on are specific to this protocol."""

    NORMAL = 1000  # the client has closed the connection
    MESSAGE_TOO_BIG = 1009  # a frame of more than 2 MB; a message of more than 64 KB gets an error event
    INTERNAL = 1011  # a server fault; the session is lost
    RESTART = 1012  # the server stops or restarts: connect again
    TRY_LATER = 1013  # no new session is accepted now
    IDLE = 4000  # no context was open and no message arrived for a long time
    SLOW_CONSUMER = 4001  # the client read nothing for a long time; the session is lost
    MOVED = 4002  # another connection has resumed the session


class ContextState(Enum):
    OPEN = "open"  # accepts text
    ENDING = "ending"  # speaks the remaining text
    DONE = "done"
    CANCELLED = "cancelled"
    FAILED = "failed"

    @property
    def final(self) -> bool:
        return not LEGAL_MOVES[self]


LEGAL_MOVES: dict[ContextState, set[ContextState]] = {
    ContextState.OPEN: {ContextState.ENDING, ContextState.CANCELLED, ContextState.FAILED},
    ContextState.ENDING: {ContextState.DONE, ContextState.CANCELLED, ContextState.FAILED},
    ContextState.DONE: set(),
    ContextState.CANCELLED: set(),
    ContextState.FAILED: set(),
}


class ProtocolError(Exception):
    """An error of the client. `refused_start`: the context that it tried to start was not created."""

    def __init__(
        self,
        code: str,
        message: str,
        context_id: str | None = None,
        refused_start: bool = False,
        retry_after_ms: float | None = None,
    ) -> None:
        super().__init__(message)
        self.code, self.message, self.context_id = code, message, context_id
        self.refused_start, self.retry_after_ms = refused_start, retry_after_ms


class _Envelope(msgspec.Struct):
    """The fields that can be read from a message that is not valid as a whole."""

    type: str | None = None
    context_id: str | None = None


_TYPES = tuple(kind.__struct_config__.tag for kind in get_args(ClientMessage))
_MALFORMED = (msgspec.MsgspecError, UnicodeError, RecursionError)
_LONE_SURROGATE = re.compile(  # the first half of a pair without its second half, or the reverse
    r"\\u[dD][89abAB]..(?!\\u[dD][c-fC-F])|(?<!\\u[dD][89abAB]..)\\u[dD][c-fC-F]"
)
_AUDIO_HEADER = struct.Struct(">BBHIQ")  # kind, length of context_id in bytes, reserved, seq, start_sample
_AUDIO_KIND = 1

_Decoder = msgspec.json.Decoder[ClientMessage] | msgspec.msgpack.Decoder[ClientMessage]
_decoders: dict[Encoding, _Decoder] = {
    Encoding.JSON: msgspec.json.Decoder(ClientMessage),
    Encoding.MSGPACK: msgspec.msgpack.Decoder(ClientMessage),
}
_EnvelopeDecoder = msgspec.json.Decoder[_Envelope] | msgspec.msgpack.Decoder[_Envelope]
_envelope_decoders: dict[Encoding, _EnvelopeDecoder] = {
    Encoding.JSON: msgspec.json.Decoder(_Envelope),
    Encoding.MSGPACK: msgspec.msgpack.Decoder(_Envelope),
}


def parse(raw: str | bytes, encoding: Encoding) -> ClientMessage:
    """Decode one frame. Raises `ProtocolError` and nothing else, whatever the input."""
    if isinstance(raw, str) != (encoding is Encoding.JSON):
        kind = "text" if encoding is Encoding.JSON else "binary"
        raise ProtocolError("bad_message", f"{encoding.subprotocol} requires {kind} frames")
    try:
        data = raw.encode() if isinstance(raw, str) else raw
        if len(data) > MAX_MESSAGE_BYTES:
            reason = f"the message has {len(data)} bytes; the maximum is {MAX_MESSAGE_BYTES}"
            raise ProtocolError("message_too_big", f"{reason}; split the text")
        message = _decoders[encoding].decode(data)
    except _MALFORMED as error:
        raise _explain(error, raw, encoding) from None
    for context_id in message.contexts if isinstance(message, Resume) else [message.context_id]:
        if not _is_valid_id(context_id):
            length_bytes = len(context_id.encode())
            raise ProtocolError("bad_message", f"context_id has {length_bytes} bytes; use 1 to {MAX_ID_BYTES}")
    return message


def serialize(event: ServerEvent, encoding: Encoding) -> str | bytes:
    """Encode an event as a text frame (str) or a binary frame (bytes)."""
    if encoding is Encoding.MSGPACK:
        return msgspec.msgpack.encode(event)
    if isinstance(event, Audio):
        name = event.context_id.encode()
        header = _AUDIO_HEADER.pack(_AUDIO_KIND, len(name), 0, event.seq, event.start_sample)
        return header + name + event.data
    return msgspec.json.encode(event).decode()


def unset_if_none(ms: float | None) -> float | UnsetType:
    """Map None to a field that is absent on the wire."""
    return UNSET if ms is None else ms


def _explain(error: Exception, raw: str | bytes, encoding: Encoding) -> ProtocolError:
    try:
        envelope = _envelope_decoders[encoding].decode(raw.encode() if isinstance(raw, str) else raw)
    except _MALFORMED:
        return ProtocolError("bad_message", _describe(error, raw, encoding))
    context_id = envelope.context_id if envelope.context_id is not None and _is_valid_id(envelope.context_id) else None
    if envelope.type is not None and envelope.type not in _TYPES:
        known = ", ".join(map(str, _TYPES))
        return ProtocolError(
            "unknown_type", f"unknown message type {envelope.type[:40]!r}; use one of: {known}", context_id
        )
    message = _describe(error, raw, encoding)
    return ProtocolError("bad_message", message, context_id, refused_start=envelope.type == "start")


def _describe(error: Exception, raw: str | bytes, encoding: Encoding) -> str:
    if isinstance(error, RecursionError):
        return "the message is nested too deeply; a message is a flat map"
    if isinstance(error, UnicodeError) or (isinstance(raw, str) and _LONE_SURROGATE.search(raw)):
        return "the text contains a lone surrogate, which is half a character; send whole characters"
    if isinstance(error, msgspec.ValidationError):
        return str(error)
    return f"not valid {'JSON' if encoding is Encoding.JSON else 'MessagePack'}: {error}"


def _is_valid_id(context_id: str) -> bool:
    return 1 <= len(context_id.encode()) <= MAX_ID_BYTES

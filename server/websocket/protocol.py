"""The native protocol v1 without I/O: messages, how they look on the wire, and the life of a context.

Knows no socket, no clock and no model. Two encodings carry the same messages: JSON text frames (audio alone is a
binary frame behind a small header) and MessagePack binary frames.
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
    """On the wire a map whose "type" is the class's name. Fields that a peer does not know are ignored."""


# What a client says. Of a context, but for `Resume`.


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
    mode: Literal["managed", "verbatim"] = "managed"  # the server segments; each message is one phrase
    clean_up: bool = True  # numbers, dates, links, Markdown ... are said as a person would
    language: Annotated[str, Meta(max_length=35)] | None = None  # of the clean-up; None: the model's
    speed: Annotated[float, Meta(ge=0.5, le=2)] = 1.0  # without change of pitch
    max_delay_ms: Annotated[float, Meta(ge=0, le=60_000)] | None = None  # half a sentence waits no longer
    decode_steps: Annotated[int, Meta(ge=1, le=MAX_DECODE_STEPS)] = 1  # of the flow head; one-step heads ignore it


class Text(_FromClient, frozen=True):
    """More text, cut anywhere; spaces belong to it."""

    text: str


class Flush(_FromClient, frozen=True):
    """Speak what waits, without waiting for its sentence to end; answered by `Flushed`."""

    id: Annotated[str, Meta(max_length=64)] | None = None  # comes back in the answer


class End(_FromClient, frozen=True):
    """No more text: speak what waits, then `Done`."""


class Cancel(_FromClient, frozen=True):
    """Be silent at once; answered by `Cancelled`. `played_ms`: so much has been heard, as in `Ack`."""

    played_ms: Annotated[float, Meta(ge=0, le=2**53)] | None = None


class Ack(_FromClient, frozen=True):
    """So much of this context's audio has been heard. Counts from its start, silence between frames left out."""

    played_ms: Annotated[float, Meta(ge=0, le=2**53)]


class Resume(_Message, frozen=True):
    """First on a new connection: go on with the session of this token, which lost its own.

    `contexts`: the highest `seq` that came of each context whose last event has not come; -1 where nothing has. What is
    not named is cancelled. Answered by `Resumed`.
    """

    token: Annotated[str, Meta(max_length=64)]
    contexts: dict[str, Annotated[int, Meta(ge=-1)]] = {}


# What the server says. `seq` counts all events of a context, from 0, without a hole.


class Ready(_Message, frozen=True):
    """Once, before all else. `token` is for `Resume`, and nobody else's business."""

    protocol: str
    server: str
    model: str
    voices: tuple[str, ...]
    default_voice: str
    sample_rate_hz: int
    frame_ms: float
    opus_pre_skip: int  # samples at sample_rate_hz that an Opus decoder gives before the first true one
    session_id: str = ""
    token: str = ""
    resume_s: float = 0.0  # so long after a lost connection the session can be resumed; 0: it cannot


class Resumed(_Message, frozen=True):
    """`recovered`: the old session goes on here under its old id and token, and what had not come follows.

    Then `contexts` tells how many messages of each context the server has taken (`start`, `text`, `flush`, `end` and
    `cancel`): send again what came after. Otherwise nothing of the old session is left, and this one is a new one.
    """

    recovered: bool
    session_id: str
    contexts: dict[str, int]
    message: str


class Queued(_Message, frozen=True):
    """The server is full and this context waits; `place` 1 is the next. Said again whenever it changes."""

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
    """A word as it was written, where it stands in all text of the context, as it is said, and when it is heard.

    Comes no later than its audio. `estimated`: the times are exact for the segment only; otherwise its end is the one
    that is expected, and `WordEnd` tells the true one.
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
    """A word whose times are not estimated is over. Comes no later than the audio in which it ends."""

    context_id: str
    seq: int
    start_char: int
    end_char: int
    start_ms: float
    end_ms: float


class Segment(_Message, frozen=True):
    """Text that has been spoken, as it was written, and where in the context's audio. Behind the last audio of it."""

    context_id: str
    seq: int
    text: str
    start_char: int
    end_char: int
    start_ms: float
    end_ms: float


class Flushed(_Message, frozen=True):
    """All text before this `Flush` has been spoken, and its last audio sent: it ends at `at_ms`."""

    context_id: str
    seq: int
    at_ms: float
    id: str | UnsetType = UNSET


class Done(_Message, frozen=True):
    """All was spoken and sent."""

    context_id: str
    seq: int
    duration_ms: float


class Cancelled(_Message, frozen=True):
    """`duration_ms` of audio were sent before, and none is sent after; `generated_ms` had been made.

    `heard_text` + `unheard_text` is the text as it was sent, parted at `heard_chars`: behind the last word of which at
    least half was heard, as the client said or else by the clock. Of what was heard only the end is given where it is
    very long.
    """

    context_id: str
    seq: int
    duration_ms: float
    generated_ms: float
    heard_chars: int
    heard_text: str
    unheard_text: str


class Error(_Message, frozen=True):
    """`final`: this was the context's last event. Otherwise nothing ended, only the one message was refused.

    `retry_after_ms`: the same has a chance when so much time has gone by. Left out where waiting would not help.
    `seq` is there where it is about a context that there is, or was until now.
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
    """Why the server closes a connection. Those from 4000 on are ours alone."""

    NORMAL = 1000  # the answer to the client's own close
    MESSAGE_TOO_BIG = 1009  # a frame of more than 2 MB; a message of more than 64 KB is refused in words
    INTERNAL = 1011  # our fault; the session is lost
    RESTART = 1012  # the server stops: connect again
    TRY_LATER = 1013  # no more sessions are taken now
    IDLE = 4000  # no context was open and nothing was said for a long time
    SLOW_CONSUMER = 4001  # what was sent was not read for a long time; the session is lost
    MOVED = 4002  # the session goes on at another connection, which has resumed it


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


class _Head(msgspec.Struct):
    """What can be told of a message that is not valid as a whole."""

    type: str | None = None
    context_id: str | None = None


_TYPES = tuple(kind.__struct_config__.tag for kind in get_args(ClientMessage))
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
    for context_id in message.contexts if isinstance(message, Resume) else [message.context_id]:
        if not _is_good_id(context_id):
            length_bytes = len(context_id.encode())
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


def if_known(ms: float | None) -> float | UnsetType:
    """None is left out on the wire."""
    return UNSET if ms is None else ms


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

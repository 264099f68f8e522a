"""The messages of the native protocol: what clients send, and the events that the server sends."""

from typing import Annotated, Any, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType

from sayline_tts.engine.segment import MAX_DECODE_STEPS, MAX_LOOKAHEAD_WORDS
from sayline_tts.server.accounting.usage import Usage
from sayline_tts.server.lexicons.store import MAX_LEXICONS


class _Message(msgspec.Struct, frozen=True, tag_field="type", tag=str.lower):
    """A map whose "type" is the lowercase class name. Unknown fields are ignored."""


# Messages from the client. All except `Resume` belong to a context.


class _ContextMessage(_Message, frozen=True):
    context_id: str


class Progress(msgspec.Struct, frozen=True):
    """How much a client has of a context whose server is gone: the next event, sample and character."""

    seq: Annotated[int, Meta(ge=0, lt=2**31)]
    start_sample: Annotated[int, Meta(ge=0, lt=2**53)]  # a whole number of frames
    start_char: Annotated[int, Meta(ge=0, lt=2**53)]  # of all text of the context; the text that follows begins there


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
    lookahead_words: Annotated[int, Meta(ge=0, le=MAX_LOOKAHEAD_WORDS)] | None = None  # 0: wait for whole clauses
    # Names of lexicons, the more important ones first. None: the one named "default", if there is one.
    lexicons: Annotated[tuple[Annotated[str, Meta(max_length=64)], ...], Meta(max_length=MAX_LEXICONS)] | None = None
    # Speech may be kept and repeated: True waits for `end`, then asks the cache; None: if it has a seed and no digits.
    cache: bool | None = None
    # The caller's trace (W3C Trace Context), to which this context's spans belong; None: that of the handshake.
    traceparent: Annotated[str, Meta(max_length=64)] | None = None
    # The context goes on that a server that is gone had begun: its numbers and times do.
    progress: Progress | None = None


class EncodedStart(Start, frozen=True, tag="start"):
    """`Start` with audio of `encoder`, which makes encodings that are not on the wire of the native protocol.

    Made by the adapters of other protocols, never parsed.
    """

    encoder: Any = None  # an `Encoder`; Any, because this module needs no codec


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
    `flush`, `end` and `cancel`); send the later ones again. Otherwise the old session is gone and this is a new one;
    with `can_continue`, its contexts can go on in it: start each again with its `progress`.
    """

    recovered: bool
    session_id: str
    contexts: dict[str, int]
    message: str
    can_continue: bool | UnsetType = UNSET


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
    `end_ms` is a prediction, and `WordEnd` reports the exact end. `missed`: the model left the word out.
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
    missed: bool | UnsetType = UNSET


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
    """Everything has been spoken and sent. `warnings` tell which text could not be spoken.

    `missed_words`: how many words the model left out, as far as attention tells; absent if none.
    """

    context_id: str
    seq: int
    duration_ms: float
    usage: Usage | UnsetType = UNSET
    warnings: list[str] | UnsetType = UNSET
    missed_words: int | UnsetType = UNSET


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
    usage: Usage | UnsetType = UNSET


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


def unset_if_none(ms: float | None) -> float | UnsetType:
    """Map None to a field that is absent on the wire."""
    return UNSET if ms is None else ms

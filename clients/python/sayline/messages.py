"""Messages of the native protocol, version 1 (docs/protocol.md). `sayline.wire` encodes them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

Format = Literal["pcm", "opus"]
Mode = Literal["managed", "verbatim"]

# Client messages. A field that is None is omitted, and the server's default applies.


@dataclass(frozen=True, slots=True)
class Start:
    context_id: str
    voice: str | None = None
    format: Format | None = None
    seed: int | None = None
    temperature: float | None = None
    max_lead_ms: float | None = None
    wait: bool | None = None
    mode: Mode | None = None
    clean_up: bool | None = None
    language: str | None = None
    speed: float | None = None
    max_delay_ms: float | None = None
    decode_steps: int | None = None
    lookahead_words: int | None = None
    lexicons: Sequence[str] | None = None
    cache: bool | None = None
    traceparent: str | None = None
    # The next `seq`, `start_sample` and `start_char` of a context that another server had begun.
    progress: Mapping[str, int] | None = None


@dataclass(frozen=True, slots=True)
class Text:
    context_id: str
    text: str


@dataclass(frozen=True, slots=True)
class Flush:
    context_id: str
    id: str | None = None


@dataclass(frozen=True, slots=True)
class End:
    context_id: str


@dataclass(frozen=True, slots=True)
class Cancel:
    context_id: str
    played_ms: float | None = None


@dataclass(frozen=True, slots=True)
class Ack:
    """Playback position of the context's audio."""

    context_id: str
    played_ms: float


@dataclass(frozen=True, slots=True)
class Resume:
    """`contexts`: for each context that is not over, the highest `seq` received, or -1."""

    token: str
    contexts: Mapping[str, int] | None = None


ContextMessage = Start | Text | Flush | End | Cancel | Ack
ClientMessage = ContextMessage | Resume

# Server messages. `seq` numbers the events of a context.


@dataclass(frozen=True, slots=True)
class Ready:
    """The first message of a connection: model, voices, audio format and session."""

    protocol: str
    server: str
    model: str
    voices: tuple[str, ...]
    default_voice: str
    sample_rate_hz: int
    frame_ms: float
    opus_pre_skip: int  # samples to discard at the start of decoded Opus
    session_id: str
    token: str  # for `Resume`; a secret
    resume_s: float  # how long a session can be resumed after its connection is lost


@dataclass(frozen=True, slots=True)
class Resumed:
    """`contexts`: number of messages of each context that the server received. Not recovered: this is a new session, in
    which its contexts can be started again with their `progress` if it `can_continue`.
    """

    recovered: bool
    session_id: str
    contexts: Mapping[str, int]
    message: str
    can_continue: bool = False


@dataclass(frozen=True, slots=True)
class Queued:
    """The server is full and this context waits at `place`; 1 is next. Repeated whenever it changes."""

    context_id: str
    seq: int
    place: int


@dataclass(frozen=True, slots=True)
class Audio:
    context_id: str
    seq: int
    start_sample: int
    data: bytes


@dataclass(frozen=True, slots=True)
class Word:
    """A word as written, its position in the context's text, and its times in the context's audio.

    Arrives no later than its audio. `spoken` is its verbalization: "five dollars" for "$5". `estimated`: the times are
    estimates within its segment. Otherwise `end_ms` is a prediction, and `WordEnd` has the exact end. `missed`: the
    model left the word out, as far as the server can tell.
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
    missed: bool = False


@dataclass(frozen=True, slots=True)
class WordEnd:
    """Exact times of the last word, if they are not estimated. Arrives no later than the audio in which it ends."""

    context_id: str
    seq: int
    start_char: int
    end_char: int
    start_ms: float
    end_ms: float


@dataclass(frozen=True, slots=True)
class Segment:
    """A piece of text that has been spoken, with its times from the start of the context's audio."""

    context_id: str
    seq: int
    text: str
    start_char: int
    end_char: int
    start_ms: float
    end_ms: float


@dataclass(frozen=True, slots=True)
class Flushed:
    """All text before a flush has been spoken; its audio ends at `at_ms`."""

    context_id: str
    seq: int
    at_ms: float
    id: str | None = None


@dataclass(frozen=True, slots=True)
class Usage:
    """The account of one context; characters are those of the text as sent.

    `taken_chars` were accepted and `billed_chars` of them spoken at least in part. `first_audio_ms`: from the first
    speakable text to its first audio on the server, None without audio. `queued_ms`: time in the queue of a full
    server. `heard_ms`: all audio sent, or what had been played when the context was cancelled.
    """

    taken_chars: int
    billed_chars: int
    generated_ms: float
    heard_ms: float
    queued_ms: float
    retries: int
    first_audio_ms: float | None = None


@dataclass(frozen=True, slots=True)
class Done:
    context_id: str
    seq: int
    duration_ms: float
    usage: Usage | None = None  # None: an older server
    warnings: tuple[str, ...] = ()  # which text was skipped, because the model cannot speak its script
    missed_words: int = 0  # that the model left out


@dataclass(frozen=True, slots=True)
class Cancelled:
    """`heard_text` + `unheard_text` is the text as sent, split at `heard_chars`; very old heard text is omitted.

    `duration_ms` of audio was sent, `generated_ms` had been generated.
    """

    context_id: str
    seq: int
    duration_ms: float
    generated_ms: float
    heard_chars: int
    heard_text: str
    unheard_text: str
    usage: Usage | None = None  # None: an older server, or computed by the client


@dataclass(frozen=True, slots=True)
class Error:
    """`final`: the context is over. Otherwise one message was rejected, and the context continues.

    `context_id` is None if the rejected message had none. `retry_after_ms`: when a retry may succeed.
    """

    code: str
    message: str
    final: bool
    context_id: str | None = None
    retry_after_ms: float | None = None
    seq: int | None = None


@dataclass(frozen=True, slots=True)
class Unknown:
    """A message of an unknown type, perhaps of a later protocol version. Ignore it."""

    type: str
    context_id: str | None = None
    seq: int | None = None
    content: Mapping[str, Any] | None = None


ContextEvent = Queued | Audio | Word | WordEnd | Segment | Flushed | Done | Cancelled | Error
KnownMessage = Ready | Resumed | ContextEvent
ServerMessage = KnownMessage | Unknown

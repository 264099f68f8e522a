"""What is said in the native protocol, version 1, as in docs/protocol.md. How it is written down: `sayline.wire`."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

Format = Literal["pcm", "opus"]
Mode = Literal["managed", "verbatim"]

# What the client says. A field that is None is left out, and the server's own default holds.


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
    """How much of the context's audio has been heard."""

    context_id: str
    played_ms: float


@dataclass(frozen=True, slots=True)
class Resume:
    """Of each context that is not over, the highest `seq` that came; -1 where nothing has."""

    token: str
    contexts: Mapping[str, int] | None = None


ContextMessage = Start | Text | Flush | End | Cancel | Ack
ClientMessage = ContextMessage | Resume

# What the server says. `seq` counts the events of a context.


@dataclass(frozen=True, slots=True)
class Ready:
    """The first message of a connection: what speaks here, and how its audio is cut."""

    protocol: str
    server: str
    model: str
    voices: tuple[str, ...]
    default_voice: str
    sample_rate_hz: int
    frame_ms: float
    opus_pre_skip: int  # samples that an Opus decoder gives before the first true one
    session_id: str
    token: str  # for `Resume`, and nobody else's business
    resume_s: float  # so long after its connection is lost a session can be resumed


@dataclass(frozen=True, slots=True)
class Resumed:
    """`contexts`: how many messages of each the server has taken. Not recovered: this is a new session."""

    recovered: bool
    session_id: str
    contexts: Mapping[str, int]
    message: str


@dataclass(frozen=True, slots=True)
class Queued:
    """The server is full and this context waits; `place` 1 is the next. Comes again whenever it changes."""

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
    """A word as it was written, where it stands in all text of the context, and when it is heard.

    Comes no later than its audio. `spoken` is how it is said: "five dollars" of "$5". `estimated`: the times lie within
    the exact ones of its segment. Otherwise `end_ms` is what is expected, and `WordEnd` tells the true end.
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


@dataclass(frozen=True, slots=True)
class WordEnd:
    """The last word is over: one whose times are not estimated. Comes no later than the audio in which it ends."""

    context_id: str
    seq: int
    start_char: int
    end_char: int
    start_ms: float
    end_ms: float


@dataclass(frozen=True, slots=True)
class Segment:
    """A piece of the text that has been spoken, and when it is heard, counted from the start of the context's audio."""

    context_id: str
    seq: int
    text: str
    start_char: int
    end_char: int
    start_ms: float
    end_ms: float


@dataclass(frozen=True, slots=True)
class Flushed:
    """All text before a flush has been spoken; the last audio of it ends at `at_ms`."""

    context_id: str
    seq: int
    at_ms: float
    id: str | None = None


@dataclass(frozen=True, slots=True)
class Done:
    context_id: str
    seq: int
    duration_ms: float


@dataclass(frozen=True, slots=True)
class Cancelled:
    """`heard_text` + `unheard_text` is the text as it was sent, parted at `heard_chars`.

    `duration_ms` of audio came, `generated_ms` had been made. Of what was heard very long ago the text is left out.
    """

    context_id: str
    seq: int
    duration_ms: float
    generated_ms: float
    heard_chars: int
    heard_text: str
    unheard_text: str


@dataclass(frozen=True, slots=True)
class Error:
    """`final`: the context is over. Otherwise one message was refused and nothing ended.

    `context_id` is None when the message at fault named none. `retry_after_ms`: the same has a chance after so long.
    """

    code: str
    message: str
    final: bool
    context_id: str | None = None
    retry_after_ms: float | None = None
    seq: int | None = None


@dataclass(frozen=True, slots=True)
class Unknown:
    """A message of a type that a later server may know. Not an error: leave it aside."""

    type: str
    context_id: str | None = None
    seq: int | None = None
    content: Mapping[str, Any] | None = None


ContextEvent = Queued | Audio | Word | WordEnd | Segment | Flushed | Done | Cancelled | Error
KnownMessage = Ready | Resumed | ContextEvent
ServerMessage = KnownMessage | Unknown

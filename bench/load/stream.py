"""One synthesis request and its outcome. The connection that carries it reports events here."""

import asyncio
import time
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from enum import Enum
from typing import Protocol

from sayline_tts.bench.load.listener import Listener


class Outcome(Enum):
    OPEN = "open"  # audio is still expected
    SPOKEN = "spoken"
    STOPPED = "stopped"  # by the client
    REJECTED = "rejected"  # the server is full
    FAILED = "failed"


LEGAL_MOVES = {
    Outcome.OPEN: {Outcome.SPOKEN, Outcome.STOPPED, Outcome.REJECTED, Outcome.FAILED},
    Outcome.SPOKEN: set[Outcome](),
    Outcome.STOPPED: set[Outcome](),
    Outcome.REJECTED: set[Outcome](),
    Outcome.FAILED: set[Outcome](),
}


def now_ms() -> float:
    return time.perf_counter() * 1000


@dataclass(frozen=True, slots=True)
class Request:
    """A text and its options. `stop_after_ms`: cancel after this much audio.

    `tokens_a_second`: send the text as a language model writes it; times then run from the first token.
    """

    text: str
    max_lead_ms: float | None = None
    stop_after_ms: float | None = None
    tokens_a_second: float | None = None
    lookahead_words: int | None = None


@dataclass(eq=False, slots=True)
class Stream:
    """One request of a listener; a listener makes many, one after another."""

    request: Request
    listener_number: int
    on_late: Callable[["Stream"], None] = lambda stream: None
    sent_ms: float | None = None  # when the last byte of its text was sent, or the first token
    outcome: Outcome = Outcome.OPEN
    error: str = ""
    retry_after_ms: float = 1000.0  # of a rejected request
    segments_ms: list[float] = field(default_factory=list)  # duration of each segment
    listener: Listener = field(default_factory=Listener)
    answered: asyncio.Event = field(default_factory=asyncio.Event)

    def on_sent(self) -> None:
        self.sent_ms = now_ms()

    def on_audio(self, duration_ms: float) -> None:
        late = self.listener.on_audio(now_ms(), duration_ms)
        self.answered.set()
        if late:
            self.on_late(self)

    def end(self, outcome: Outcome, error: str = "") -> None:
        assert outcome in LEGAL_MOVES[self.outcome], f"{self.outcome} cannot become {outcome}"
        self.outcome, self.error = outcome, error
        self.answered.set()

    @property
    def first_audio_at_ms(self) -> float | None:
        """When the first audio arrived."""
        return self.listener.arrivals_ms[0] if self.listener.arrivals_ms else None

    @property
    def ttfa_ms(self) -> float | None:
        """Time to first audio."""
        if self.first_audio_at_ms is None or self.sent_ms is None:
            return None
        return self.first_audio_at_ms - self.sent_ms

    @property
    def is_satisfied(self) -> bool:
        stop_after_ms = self.request.stop_after_ms
        return stop_after_ms is not None and self.listener.received_ms >= stop_after_ms


class Connection(Protocol):
    """Carries streams one after another. `speak` ends the stream before it returns, and does not raise."""

    async def speak(self, stream: Stream) -> None: ...


class ConnectionLost(Exception):
    """The connection was lost or could not be opened; the message says why."""


Connect = Callable[[], AbstractAsyncContextManager[Connection]]

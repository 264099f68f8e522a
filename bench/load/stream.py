"""One text on its way to one listener, and what became of it. Knows no wire: who carries it reports here."""

import asyncio
import time
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from enum import Enum
from typing import Protocol

from sayline_tts.bench.load.listener import Listener


class Outcome(Enum):
    OPEN = "open"  # audio still comes
    SPOKEN = "spoken"
    STOPPED = "stopped"  # by us
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
class Wish:
    """What a listener asks for. `stop_after_ms`: of audio; then it hangs up."""

    text: str
    max_lead_ms: float | None = None
    stop_after_ms: float | None = None


@dataclass(eq=False, slots=True)
class Stream:
    """`listener_number` is who hears it: one listener hears many, one after the other."""

    wish: Wish
    listener_number: int
    on_late: Callable[["Stream"], None] = lambda stream: None
    asked_ms: float | None = None  # when the last byte of its text was out
    outcome: Outcome = Outcome.OPEN
    error: str = ""
    retry_after_ms: float = 1000.0  # of a rejected one
    segments_ms: list[float] = field(default_factory=list)  # how long each piece of the text became
    listener: Listener = field(default_factory=Listener)
    answered: asyncio.Event = field(default_factory=asyncio.Event)

    def on_asked(self) -> None:
        self.asked_ms = now_ms()

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
    def first_ms(self) -> float | None:
        """When the first audio came."""
        return self.listener.arrivals_ms[0] if self.listener.arrivals_ms else None

    @property
    def ttfa_ms(self) -> float | None:
        """Time to first audio."""
        if self.first_ms is None or self.asked_ms is None:
            return None
        return self.first_ms - self.asked_ms

    @property
    def wants_no_more(self) -> bool:
        stop_after_ms = self.wish.stop_after_ms
        return stop_after_ms is not None and self.listener.received_ms >= stop_after_ms


class Connection(Protocol):
    """What carries streams, one after the other. Ends each before it comes back, and raises nothing."""

    async def speak(self, stream: Stream) -> None: ...


class Lost(Exception):
    """The connection is gone, or never came about. The message says why."""


Connect = Callable[[], AbstractAsyncContextManager[Connection]]

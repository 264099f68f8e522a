"""A simulated listener: plays in real time from its first packet and records underruns. The clock is passed in."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Stall:
    """An underrun: the listener had nothing to play."""

    at_ms: float
    length_ms: float


class Listener:
    """A listener without a jitter buffer: a packet that is late at all is an underrun.

    A stall delays everything after it: playback continues where it stopped.
    """

    def __init__(self) -> None:
        self.stalls: list[Stall] = []
        self.arrivals_ms: list[float] = []
        self.margins_ms: list[float] = []  # audio left when the packet arrived; negative: a stall
        self.received_ms = 0.0
        self._plays_until_ms = 0.0

    @property
    def plays_until_ms(self) -> float:
        """When it will have played everything received so far."""
        return self._plays_until_ms

    def on_audio(self, now_ms: float, duration_ms: float) -> bool:
        """Record a packet. Return whether it was late."""
        late = False
        if self.arrivals_ms:
            margin_ms = self._plays_until_ms - now_ms
            self.margins_ms.append(margin_ms)
            late = margin_ms < 0
            if late:
                self.stalls.append(Stall(self._plays_until_ms, -margin_ms))
        self._plays_until_ms = max(self._plays_until_ms, now_ms) + duration_ms
        self.received_ms += duration_ms
        self.arrivals_ms.append(now_ms)
        return late

    def cut(self, now_ms: float) -> None:
        """End the measurement while more audio was expected: a listener without audio has an underrun."""
        if self.arrivals_ms and self._plays_until_ms < now_ms:
            self.stalls.append(Stall(self._plays_until_ms, now_ms - self._plays_until_ms))
            self._plays_until_ms = now_ms

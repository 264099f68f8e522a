"""A simulated listener: plays in real time from its first packet on, and notes each time it ran dry.

Knows no socket and no server; the clock is handed in with each packet.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Stall:
    """An underrun: the listener had nothing to play."""

    at_ms: float
    length_ms: float


class Listener:
    """It has no buffer of its own: a packet that comes after its moment is an underrun, however short.

    A stall moves everything that follows: the listener goes on where it stopped.
    """

    def __init__(self) -> None:
        self.stalls: list[Stall] = []
        self.arrivals_ms: list[float] = []
        self.margins_ms: list[float] = []  # how much there still was to play when the packet came; less than 0: a stall
        self.received_ms = 0.0
        self._plays_until_ms = 0.0

    @property
    def plays_until_ms(self) -> float:
        """When it will have played all that it has."""
        return self._plays_until_ms

    def on_audio(self, now_ms: float, duration_ms: float) -> bool:
        """A packet came. Was it too late?"""
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
        """More should have come and did not: a listener who waits now has run dry."""
        if self.arrivals_ms and self._plays_until_ms < now_ms:
            self.stalls.append(Stall(self._plays_until_ms, now_ms - self._plays_until_ms))
            self._plays_until_ms = now_ms

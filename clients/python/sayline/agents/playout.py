"""How much of each speech has been heard, where the player does not say: told what it is given, and when it begins."""

from collections.abc import Callable
from time import monotonic


class Playout:
    """Of a player that plays what it is given at once, one after the other, and waits when it has nothing.

    All that it plays is one row of sound; a speech is a place in it.
    """

    def __init__(self, clock_s: Callable[[], float] = monotonic) -> None:
        self._clock_s = clock_s
        self._given_ms = 0.0
        self._run_ms = self._run_s = 0.0  # where in the row, and when, it last began after a silence
        self._places: dict[str, tuple[float, float]] = {}

    def give(self, name: str, duration_ms: float) -> None:
        """The next piece of the speech of this name."""
        if self._heard_ms >= self._given_ms:
            self._run_ms, self._run_s = self._given_ms, self._clock_s()
        start_ms, _ = self._places.get(name, (self._given_ms, 0.0))
        self._given_ms += duration_ms
        self._places[name] = (start_ms, self._given_ms)

    def begin(self) -> None:
        """The player says that it begins just now."""
        self._run_s = self._clock_s()

    def stop(self) -> None:
        """What was not heard never will be."""
        self._given_ms = self._heard_ms
        self._places.clear()

    def played_ms(self, name: str) -> float:
        """Of this speech, so far."""
        start_ms, end_ms = self._places.get(name, (0.0, 0.0))
        return min(max(0.0, self._heard_ms - start_ms), end_ms - start_ms)

    def is_heard(self, name: str) -> bool:
        """All of this speech that was given."""
        return self._places.get(name, (0.0, 0.0))[1] <= self._heard_ms

    def forget(self, name: str) -> None:
        """Nobody will ask for this speech any more."""
        self._places.pop(name, None)

    @property
    def _heard_ms(self) -> float:
        return min(self._run_ms + (self._clock_s() - self._run_s) * 1000, self._given_ms)

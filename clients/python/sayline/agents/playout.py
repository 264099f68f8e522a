"""Estimate the playback position of each speech for a player that does not report it."""

from collections.abc import Callable
from time import monotonic


class Playout:
    """Models a player that plays audio immediately, in order, and waits when it has none.

    All audio forms one timeline; a speech is an interval in it.
    """

    def __init__(self, clock_s: Callable[[], float] = monotonic) -> None:
        self._clock_s = clock_s
        self._given_ms = 0.0
        self._run_ms = self._run_s = 0.0  # position in the timeline, and time, of the last start after silence
        self._places: dict[str, tuple[float, float]] = {}

    def give(self, name: str, duration_ms: float) -> None:
        """Record that the next piece of this speech was given to the player."""
        if self._heard_ms >= self._given_ms:
            self._run_ms, self._run_s = self._given_ms, self._clock_s()
        start_ms, _ = self._places.get(name, (self._given_ms, 0.0))
        self._given_ms += duration_ms
        self._places[name] = (start_ms, self._given_ms)

    def begin(self) -> None:
        """Record that the player has just started."""
        self._run_s = self._clock_s()

    def stop(self) -> None:
        """Discard audio that has not been heard."""
        self._given_ms = self._heard_ms
        self._places.clear()

    def played_ms(self, name: str) -> float:
        """Return the playback position in this speech."""
        start_ms, end_ms = self._places.get(name, (0.0, 0.0))
        return min(max(0.0, self._heard_ms - start_ms), end_ms - start_ms)

    def is_heard(self, name: str) -> bool:
        """Return whether all audio of this speech was heard."""
        return self._places.get(name, (0.0, 0.0))[1] <= self._heard_ms

    def forget(self, name: str) -> None:
        """Discard this speech."""
        self._places.pop(name, None)

    @property
    def _heard_ms(self) -> float:
        return min(self._run_ms + (self._clock_s() - self._run_s) * 1000, self._given_ms)

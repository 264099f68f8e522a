"""How much of what was sent a listener has heard, by the clock. Knows no socket; the clock is handed in.

Supposes a player that plays what it has without pause, and waits when it has nothing. It counts in ms of audio,
because a socket whose peer never reads takes in minutes of it before it pushes back.
"""

from collections.abc import Callable


class Playback:
    def __init__(self, now_ms: Callable[[], float]) -> None:
        self._now_ms = now_ms
        self._since_ms = 0.0  # when `_heard_ms` was true
        self._heard_ms = 0.0
        self.sent_ms = 0.0

    def on_sent(self, duration_ms: float) -> None:
        """So much more audio has left."""
        self._heard_ms, self._since_ms = self.played_ms, self._now_ms()
        self.sent_ms += duration_ms

    @property
    def played_ms(self) -> float:
        return min(self.sent_ms, self._heard_ms + self._now_ms() - self._since_ms)

    @property
    def unplayed_ms(self) -> float:
        return self.sent_ms - self.played_ms

"""Where a listener is, as its front reports it: an engine's `PlaybackClock`."""

from collections.abc import Callable


class ReportedPlayback:
    """Between two reports playback goes on with the clock, as far as audio has been sent."""

    def __init__(self, now_ms: Callable[[], float]) -> None:
        self._now_ms = now_ms
        self.sent_ms = 0.0
        self._played_ms, self._reported_at_ms = 0.0, 0.0

    def report(self, sent_ms: float, played_ms: float) -> None:
        self.sent_ms, self._played_ms, self._reported_at_ms = sent_ms, played_ms, self._now_ms()

    @property
    def played_ms(self) -> float:
        return min(self.sent_ms, self._played_ms + self._now_ms() - self._reported_at_ms)

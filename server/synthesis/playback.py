"""How much of the sent audio a listener has played, by the clock and by its own reports.

The clock models a player that plays without pauses and waits when its buffer is empty. A report corrects that estimate
in both directions, but playback is never faster than real time. Everything is counted in milliseconds of audio rather
than bytes, because the socket of a peer that never reads accepts minutes of audio before it applies backpressure.
"""

from collections.abc import Callable


class Playback:
    def __init__(self, now_ms: Callable[[], float], start_ms: float = 0.0) -> None:
        """`start_ms`: of audio that another server has sent, and that is taken for played."""
        self._now_ms = now_ms
        self._updated_ms = 0.0  # when the next two values were true
        self._played_ms = start_ms
        self._max_played_ms = start_ms  # by the clock alone
        self._reported_ms = 0.0
        self.sent_ms = start_ms

    def on_sent(self, duration_ms: float) -> None:
        """That much more audio has been sent."""
        self._advance()
        self.sent_ms += duration_ms

    def on_ack(self, played_ms: float) -> None:
        """Take the listener's own report. A report below an earlier one is ignored."""
        self._advance()
        if played_ms >= self._reported_ms:
            self._reported_ms = self._played_ms = min(played_ms, self._max_played_ms)

    def rewind(self, sent_ms: float) -> None:
        """Forget what was sent after `sent_ms`: it was lost and will be sent again."""
        self._advance()
        self.sent_ms = min(self.sent_ms, sent_ms)
        self._played_ms, self._max_played_ms = min(self._played_ms, sent_ms), min(self._max_played_ms, sent_ms)

    @property
    def played_ms(self) -> float:
        return min(self.sent_ms, self._played_ms + self._now_ms() - self._updated_ms)

    @property
    def underrun_ms(self) -> float:
        """How long the listener has had nothing to play."""
        return max(0.0, self._played_ms + self._now_ms() - self._updated_ms - self.sent_ms)

    def _advance(self) -> None:
        now_ms = self._now_ms()
        elapsed_ms = now_ms - self._updated_ms
        self._played_ms = min(self.sent_ms, self._played_ms + elapsed_ms)
        self._max_played_ms = min(self.sent_ms, self._max_played_ms + elapsed_ms)
        self._updated_ms = now_ms


class EnginePlayback:
    """The engine's `PlaybackClock`: the same playback in the engine's audio, which is `offset_ms` shorter."""

    def __init__(self, playback: Playback) -> None:
        self._playback = playback
        self.offset_ms = 0.0  # up to the part that is being spoken

    @property
    def played_ms(self) -> float:
        return max(0.0, self._playback.played_ms - self.offset_ms)

    @property
    def sent_ms(self) -> float:
        return max(0.0, self._playback.sent_ms - self.offset_ms)

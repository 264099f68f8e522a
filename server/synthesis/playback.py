"""How much of what was sent a listener has heard, by the clock and by its own reports. Knows no socket.

By the clock: a player that plays what it has without pause, and waits when it has nothing. A report corrects that both
ways, but nobody hears faster than real time. All is counted in ms of audio, because a socket whose peer never reads
takes in minutes of it before it pushes back.
"""

from collections.abc import Callable


class Playback:
    def __init__(self, now_ms: Callable[[], float]) -> None:
        self._now_ms = now_ms
        self._since_ms = 0.0  # when the two that follow were true
        self._heard_ms = 0.0
        self._at_most_ms = 0.0  # by the clock alone
        self._reported_ms = 0.0
        self.sent_ms = 0.0

    def on_sent(self, duration_ms: float) -> None:
        """So much more audio has left."""
        self._count()
        self.sent_ms += duration_ms

    def on_ack(self, played_ms: float) -> None:
        """The listener's own report. One that goes back behind an earlier one is wrong, and ignored."""
        self._count()
        if played_ms >= self._reported_ms:
            self._reported_ms = self._heard_ms = min(played_ms, self._at_most_ms)

    def rewind(self, sent_ms: float) -> None:
        """What was sent behind this was lost on its way, and will be sent again."""
        self._count()
        self.sent_ms = min(self.sent_ms, sent_ms)
        self._heard_ms, self._at_most_ms = min(self._heard_ms, sent_ms), min(self._at_most_ms, sent_ms)

    @property
    def played_ms(self) -> float:
        return min(self.sent_ms, self._heard_ms + self._now_ms() - self._since_ms)

    @property
    def dry_ms(self) -> float:
        """For so long there has been nothing to play."""
        return max(0.0, self._heard_ms + self._now_ms() - self._since_ms - self.sent_ms)

    def _count(self) -> None:
        now_ms = self._now_ms()
        gone_ms = now_ms - self._since_ms
        self._heard_ms = min(self.sent_ms, self._heard_ms + gone_ms)
        self._at_most_ms = min(self.sent_ms, self._at_most_ms + gone_ms)
        self._since_ms = now_ms

"""What is measured of one context. Knows the metrics and nothing of how anything is done."""

from collections.abc import Callable

from sayline_tts.server.metrics import Metrics
from sayline_tts.server.synthesis.playback import Playback


class Tally:
    def __init__(self, metrics: Metrics, key: str, format: str, now_s: Callable[[], float]) -> None:
        self._metrics, self._key, self._format, self._now_s = metrics, key, format, now_s
        self._flows = False  # behind what was sent there is more to say

    def begins(self) -> None:
        self._metrics.on_context(self._key)

    def text(self, chars: int) -> None:
        self._metrics.on_chars(chars, self._key)

    def encoded(self, ms: float) -> None:
        self._metrics.on_encoded(ms, self._format)

    def refused(self, code: str) -> None:
        self._metrics.on_reject(code, self._key)

    def first_frame(self, spoke_at_s: float | None) -> None:
        """It leaves now. `spoke_at_s`: when the text came with which there was something to say."""
        if spoke_at_s is not None:
            self._metrics.on_first_audio((self._now_s() - spoke_at_s) * 1000)
        self._metrics.on_frame_sent()

    def frame(self, playback: Playback) -> None:
        """Another leaves now; `playback` is as it was before."""
        lead_ms = playback.sent_ms - playback.played_ms
        self._metrics.on_frame_sent(lead_ms)
        if self._flows and not lead_ms:
            self._metrics.on_underrun(playback.dry_ms)

    def behind_it(self, more: bool) -> None:
        """Is there more to say behind the frame that has left?"""
        self._flows = more

    def cancelled(self, unheard_ms: float) -> None:
        self._metrics.on_cancelled(max(0.0, unheard_ms))

    def over(self, outcome: str, generated_ms: float) -> None:
        self._metrics.on_over(outcome)
        self._metrics.on_spoken(generated_ms, self._key)

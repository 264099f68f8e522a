"""Metrics of one context."""

from collections.abc import Callable

from sayline_tts.server.metrics import Metrics
from sayline_tts.server.synthesis.playback import Playback


class ContextMetrics:
    def __init__(self, metrics: Metrics, key: str, format: str, now_s: Callable[[], float]) -> None:
        self._metrics, self._key, self._format, self._now_s = metrics, key, format, now_s
        self._more_follows = False  # after the last frame that was sent

    def on_start(self) -> None:
        self._metrics.on_context_start(self._key)

    def on_text(self, chars: int) -> None:
        self._metrics.on_chars(chars, self._key)

    def on_encoded(self, ms: float) -> None:
        self._metrics.on_encoded(ms, self._format)

    def on_reject(self, code: str) -> None:
        self._metrics.on_reject(code, self._key)

    def on_first_frame(self, first_speakable_s: float | None) -> None:
        """The first frame is sent now. `first_speakable_s`: when the text for the first segment was complete."""
        if first_speakable_s is not None:
            self._metrics.on_first_audio((self._now_s() - first_speakable_s) * 1000)
        self._metrics.on_frame_sent()

    def on_frame(self, playback: Playback) -> None:
        """Another frame is sent now and `playback` does not include it yet."""
        lead_ms = playback.sent_ms - playback.played_ms
        self._metrics.on_frame_sent(lead_ms)
        if self._more_follows and not lead_ms:
            self._metrics.on_underrun(playback.underrun_ms)

    def set_more_follows(self, more_follows: bool) -> None:
        """Is there more to speak after the frame that has been sent? If not, a later gap is no underrun."""
        self._more_follows = more_follows

    def on_cancel(self, unheard_ms: float) -> None:
        self._metrics.on_audio_cancelled(max(0.0, unheard_ms))

    def on_end(self, outcome: str, generated_ms: float) -> None:
        self._metrics.on_context_end(outcome)
        self._metrics.on_audio_generated(generated_ms, self._key)

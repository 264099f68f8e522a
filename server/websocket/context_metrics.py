"""Metrics of one context."""

from collections.abc import Callable

from sayline_tts.server.metrics import Metrics
from sayline_tts.server.synthesis.playback import Playback


class ContextMetrics:
    def __init__(self, metrics: Metrics, key: str, format: str, now_s: Callable[[], float]) -> None:
        self._metrics, self._key, self._format, self.now_s = metrics, key, format, now_s
        self.trace_id: str | None = None
        self._more_follows = False  # after the last frame that was sent

    def on_start(self) -> None:
        self._metrics.on_context_start(self._key)

    def on_text(self, chars: int) -> None:
        self._metrics.on_chars(chars, self._key)

    def on_encoded(self, ms: float) -> None:
        self._metrics.on_encoded(ms, self._format)

    def on_reject(self, code: str) -> None:
        self._metrics.on_reject(code, self._key)

    def on_frame_sent(self, playback: Playback, first_speakable_s: float | None, more_follows: bool) -> None:
        """A frame is sent now and `playback` does not include it yet.

        `first_speakable_s`: when the text for the first segment was complete. `more_follows`: there is more to speak
        after this frame; if not, a later gap is no underrun.
        """
        if playback.sent_ms:
            lead_ms = playback.sent_ms - playback.played_ms
            self._metrics.on_frame_sent(lead_ms)
            if self._more_follows and not lead_ms:
                self._metrics.on_underrun(playback.underrun_ms)
        else:
            if first_speakable_s is not None:
                self._metrics.on_first_audio((self.now_s() - first_speakable_s) * 1000, self.trace_id)
            self._metrics.on_frame_sent()
        self._more_follows = more_follows

    def on_cancel(self, unheard_ms: float) -> None:
        self._metrics.on_audio_cancelled(max(0.0, unheard_ms))

    def on_faults(self, retries: int, missed_words: int) -> None:
        self._metrics.on_faults(retries, missed_words)

    def on_end(self, outcome: str, generated_ms: float) -> None:
        self._metrics.on_context_end(outcome)
        self._metrics.on_audio_generated(generated_ms, self._key)

"""Measure time to first audio and speed of one stream."""

from collections.abc import Callable
from time import monotonic


class Stopwatch:
    """All times in seconds.

    Time to first audio runs from sending the last character of the first segment (the first speakable text) to
    receiving the first audio. The server's first segment event tells which text that was.
    """

    def __init__(self, clock: Callable[[], float] = monotonic) -> None:
        self.speech_ms = 0.0
        self.first_audio_s: float | None = None
        self._clock = clock
        self._sent: list[tuple[float, int]] = []  # time, and number of characters sent until then
        self._sent_chars = 0
        self._first_audio_at = 0.0
        self._last_audio_at = 0.0
        self._first_segment_known = False

    def sent(self, text: str) -> None:
        self._sent_chars += len(text)
        if not self._first_segment_known:
            self._sent.append((self._clock(), self._sent_chars))

    def received(self, duration_ms: float) -> None:
        self._last_audio_at = self._clock()
        if not self.speech_ms:
            self._first_audio_at = self._last_audio_at
        self.speech_ms += duration_ms

    def segment(self, end_char: int) -> None:
        """Record that the text up to `end_char` has been spoken."""
        if self._first_segment_known or not self._sent:
            return
        self._first_segment_known = True
        whole_at = next((at for at, so_far in self._sent if so_far >= end_char), self._sent[-1][0])
        self.first_audio_s = self._first_audio_at - whole_at

    @property
    def total_s(self) -> float:
        """From the first text to the last audio."""
        return self._last_audio_at - self._sent[0][0] if self._sent and self.speech_ms else 0.0

    def summary(self) -> str:
        speech_s = self.speech_ms / 1000
        words = [f"{speech_s:.2f} s of speech"]
        if self.first_audio_s is not None:
            words.append(f"first audio after {self.first_audio_s * 1000:.0f} ms")
        if self.total_s > 0:
            words.append(f"all of it in {self.total_s:.2f} s ({speech_s / self.total_s:.1f} x real time)")
        return ", ".join(words)

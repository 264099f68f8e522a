"""Playback buffer of one context: the event loop writes samples, the device's thread reads them.

The playback position is exact to the sample. The device is the clock: it reads continuously, and gets silence when
there is no audio.
"""

import threading
from array import array
from collections import deque
from collections.abc import Callable

FADE_MS = 5.0  # avoids clicks when audio stops or resumes
REBUFFER_MS = 160.0  # buffered before playback resumes after an underrun
REPORT_MS = 1000.0
BYTES = 2  # per sample


class Playback:
    """`on_change` is called in either thread: about once a second, on pause and resume, and at the end."""

    def __init__(self, sample_rate_hz: int, latency_ms: float, on_change: Callable[[], None]) -> None:
        self.underruns = 0  # within the text, not at its end
        self.paused = False
        self._sample_rate_hz = sample_rate_hz
        self._latency, self._fade = self._samples(latency_ms), self._samples(FADE_MS)
        self._on_change = on_change
        self._lock = threading.Lock()
        self._waiting = bytearray()
        self._complete = self._ended = self._reported_over = False
        self._silent = True  # the device is getting silence
        self._rebuffer_samples = 0  # samples to buffer before playback resumes
        self._fade_in_left = 0  # samples left of the fade-in
        self._requested = self._delivered = 0  # samples requested by the device, and samples of speech delivered to it
        self._runs: deque[tuple[int, int, int]] = (
            deque()
        )  # of delivered speech: offset in the requested samples, offset in the speech, length
        self._next_report = self._samples(REPORT_MS)

    # Called by the event loop

    def write(self, pcm: bytes) -> None:
        with self._lock:
            if not self._ended:
                self._complete = False
                self._waiting += pcm

    def settle(self) -> None:
        """A piece of text is complete: play what is buffered without waiting for more."""
        with self._lock:
            self._complete = True

    def end(self) -> None:
        """No more audio follows."""
        with self._lock:
            self._complete = self._ended = True
        self._on_change()

    def stop(self) -> float:
        """Stop after a fade-out. Return the final playback position in ms."""
        with self._lock:
            self._complete = self._ended = True
            self.paused = False
            del self._waiting[0 if self._silent else self._fade * BYTES :]
            heard_ms = self._ms(self._delivered + len(self._waiting) // BYTES)
        self._on_change()
        return heard_ms

    def pause(self) -> None:
        self._set_paused(True)

    def resume(self) -> None:
        self._set_paused(False)

    @property
    def played_ms(self) -> float:
        """Playback position. The device has buffered slightly more."""
        with self._lock:
            return self._ms(self._played)

    @property
    def lead_ms(self) -> float:
        """Audio left to play."""
        with self._lock:
            return self._ms(self._delivered + len(self._waiting) // BYTES - self._played)

    @property
    def over(self) -> bool:
        """All audio has been played."""
        with self._lock:
            return self._over

    @property
    def drained(self) -> bool:
        """The device has read all audio."""
        with self._lock:
            return self._ended and not self._waiting

    # Called by the device

    def read(self, samples: int) -> bytes:
        """Return the next samples, padded with silence."""
        with self._lock:
            speech = self._next_samples(samples)
            if speech:
                self._runs.append((self._requested, self._delivered, len(speech) // BYTES))
                self._delivered += len(speech) // BYTES
            self._requested += samples
            while len(self._runs) > 1 and self._runs[1][0] < self._requested - self._latency:
                self._runs.popleft()
            changed = self._report_due
        if changed:
            self._on_change()
        return speech + bytes(samples * BYTES - len(speech))

    # Called with the lock held

    def _next_samples(self, samples: int) -> bytes:
        waiting, was_silent = len(self._waiting) // BYTES, self._silent
        held_back = was_silent and waiting < self._rebuffer_samples and not self._complete
        if self.paused or held_back or not waiting:
            self._silent = True
            return b"" if was_silent else self._take_faded(min(waiting, samples, self._fade), 0)
        self._silent = False
        if was_silent and self._delivered:
            self._fade_in_left = self._fade
        count = min(waiting, samples)
        if waiting >= samples + self._fade:
            return self._take_faded(count)
        if self._complete:
            self._silent = count == waiting
            return self._take_faded(count, waiting - count)
        self.underruns += 1
        self._rebuffer_samples, self._silent = self._samples(REBUFFER_MS), True
        return self._take_faded(count, 0)

    def _take_faded(self, count: int, left_after: int | None = None) -> bytes:
        """`then_left`: so many samples behind these there is silence."""
        pcm = bytes(self._waiting[: count * BYTES])
        del self._waiting[: count * BYTES]
        if left_after is None and not self._fade_in_left:
            return pcm
        samples, fade = array("h", pcm), self._fade
        for at, sample in enumerate(samples):
            falling = 1.0 if left_after is None else min(1.0, (left_after + count - at) / fade)
            rising = 1.0 - max(0, self._fade_in_left - at) / fade
            samples[at] = round(sample * min(falling, rising))
        self._fade_in_left = max(0, self._fade_in_left - count)
        return samples.tobytes()

    def _set_paused(self, paused: bool) -> None:
        with self._lock:
            self.paused = paused
        self._on_change()

    @property
    def _report_due(self) -> bool:
        due, over = self._requested >= self._next_report, self._over and not self._reported_over
        if due:
            self._next_report += self._samples(REPORT_MS)
        self._reported_over = self._over
        return due or over

    @property
    def _played(self) -> int:
        at, played = self._requested - self._latency, 0
        for where, start, length in self._runs:
            if where < at:
                played = start + min(length, at - where)
        return played

    @property
    def _over(self) -> bool:
        return self._ended and not self._waiting and self._played >= self._delivered

    def _samples(self, ms: float) -> int:
        return round(ms * self._sample_rate_hz / 1000)

    def _ms(self, samples: int) -> float:
        return samples * 1000 / self._sample_rate_hz

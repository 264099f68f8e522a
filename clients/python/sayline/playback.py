"""What a device plays of one context: samples wait here, and the device takes them when it needs them.

Knows how much was heard, to the sample. Its clock is the device, which goes on asking, and is given silence, whatever
happens. Used by the event loop and by the device's thread.
"""

import threading
from array import array
from collections import deque
from collections.abc import Callable

FADE_MS = 5.0  # sound does not click when it stops, or comes back
AGAIN_MS = 160.0  # so much must be here before sound comes back that had run dry
REPORT_MS = 1000.0
BYTES = 2  # of a sample


class Playback:
    """`on_change` is called, in either thread, about once a second, when it is paused or resumed, and when over."""

    def __init__(self, sample_rate_hz: int, latency_ms: float, on_change: Callable[[], None]) -> None:
        self.underruns = 0  # how often it ran dry in the middle of a text
        self.paused = False
        self._sample_rate_hz = sample_rate_hz
        self._latency, self._fade = self._samples(latency_ms), self._samples(FADE_MS)
        self._on_change = on_change
        self._lock = threading.Lock()
        self._waiting = bytearray()
        self._whole = self._ended = self._told_over = False
        self._silent = True  # just now
        self._needed = 0  # samples, before it is not
        self._rising = 0  # samples, until it has its whole strength again
        self._asked = self._given = 0  # samples: by the device; to it, of speech
        self._runs: deque[tuple[int, int, int]] = deque()  # of speech: where in what was asked, in the speech; length
        self._next_report = self._samples(REPORT_MS)

    # For the loop

    def write(self, pcm: bytes) -> None:
        with self._lock:
            if not self._ended:
                self._whole = False
                self._waiting += pcm

    def settle(self) -> None:
        """A piece of text is whole, and nothing more may come for long."""
        with self._lock:
            self._whole = True

    def end(self) -> None:
        """Nothing more comes."""
        with self._lock:
            self._whole = self._ended = True
        self._on_change()

    def stop(self) -> float:
        """Silence, after a fade. Gives what will have been heard then, in ms."""
        with self._lock:
            self._whole = self._ended = True
            self.paused = False
            del self._waiting[0 if self._silent else self._fade * BYTES :]
            heard_ms = self._ms(self._given + len(self._waiting) // BYTES)
        self._on_change()
        return heard_ms

    def pause(self) -> None:
        self._set_paused(True)

    def resume(self) -> None:
        self._set_paused(False)

    @property
    def played_ms(self) -> float:
        """Heard. The device has taken a little more."""
        with self._lock:
            return self._ms(self._played)

    @property
    def lead_ms(self) -> float:
        """Still to be heard."""
        with self._lock:
            return self._ms(self._given + len(self._waiting) // BYTES - self._played)

    @property
    def over(self) -> bool:
        """All that will ever be heard was."""
        with self._lock:
            return self._over

    @property
    def drained(self) -> bool:
        """The device has taken all that it ever will."""
        with self._lock:
            return self._ended and not self._waiting

    # For the device

    def read(self, samples: int) -> bytes:
        """The next so many samples, of speech or of silence."""
        with self._lock:
            speech = self._take(samples)
            if speech:
                self._runs.append((self._asked, self._given, len(speech) // BYTES))
                self._given += len(speech) // BYTES
            self._asked += samples
            while len(self._runs) > 1 and self._runs[1][0] < self._asked - self._latency:
                self._runs.popleft()
            changed = self._worth_telling
        if changed:
            self._on_change()
        return speech + bytes(samples * BYTES - len(speech))

    # What follows holds the lock

    def _take(self, samples: int) -> bytes:
        waiting, was_silent = len(self._waiting) // BYTES, self._silent
        held_back = was_silent and waiting < self._needed and not self._whole
        if self.paused or held_back or not waiting:
            self._silent = True
            return b"" if was_silent else self._cut(min(waiting, samples, self._fade), 0)
        self._silent = False
        if was_silent and self._given:
            self._rising = self._fade
        count = min(waiting, samples)
        if waiting >= samples + self._fade:
            return self._cut(count)
        if self._whole:
            self._silent = count == waiting
            return self._cut(count, waiting - count)
        self.underruns += 1
        self._needed, self._silent = self._samples(AGAIN_MS), True
        return self._cut(count, 0)

    def _cut(self, count: int, then_left: int | None = None) -> bytes:
        """`then_left`: so many samples behind these there is silence."""
        pcm = bytes(self._waiting[: count * BYTES])
        del self._waiting[: count * BYTES]
        if then_left is None and not self._rising:
            return pcm
        samples, fade = array("h", pcm), self._fade
        for at, sample in enumerate(samples):
            falling = 1.0 if then_left is None else min(1.0, (then_left + count - at) / fade)
            rising = 1.0 - max(0, self._rising - at) / fade
            samples[at] = round(sample * min(falling, rising))
        self._rising = max(0, self._rising - count)
        return samples.tobytes()

    def _set_paused(self, paused: bool) -> None:
        with self._lock:
            self.paused = paused
        self._on_change()

    @property
    def _worth_telling(self) -> bool:
        due, over = self._asked >= self._next_report, self._over and not self._told_over
        if due:
            self._next_report += self._samples(REPORT_MS)
        self._told_over = self._over
        return due or over

    @property
    def _played(self) -> int:
        at, played = self._asked - self._latency, 0
        for where, start, length in self._runs:
            if where < at:
                played = start + min(length, at - where)
        return played

    @property
    def _over(self) -> bool:
        return self._ended and not self._waiting and self._played >= self._given

    def _samples(self, ms: float) -> int:
        return round(ms * self._sample_rate_hz / 1000)

    def _ms(self, samples: int) -> float:
        return samples * 1000 / self._sample_rate_hz

"""Streaming time stretching: faster or slower speech at the same pitch.

WSOLA: half-overlapping windows are read from the input at `speed` times the rate at which they are added to the output,
each from the position near its nominal one where the waveform best continues the previous window. W. Verhelst and
M. Roelands, "An overlap-add technique based on waveform similarity (WSOLA) for high quality time-scale modification of
speech", ICASSP 1993.
"""

import numpy as np
import numpy.typing as npt

from sayline_tts.engine.errors import InputError

MIN_SPEED, MAX_SPEED = 0.5, 2.0
HOP_MS = 12.0  # half a window: a whole one holds two periods of a deep voice
SEARCH_MS = 6.5  # to either side: together one period of 77 Hz
OFFSET_PENALTY = 0.02  # in similarity, at the edge of the search range: a larger offset means more timing jitter

Samples = npt.NDArray[np.float32]


class TimeStretcher:
    """Stretch one stream of mono samples: `n` samples become `round(n / speed)`, however they are split.

    The latency is at most `SEARCH_MS + 1.5 * HOP_MS` of input. At speed 1 the input is returned unchanged.
    """

    def __init__(self, speed: float, sample_rate_hz: int) -> None:
        if not MIN_SPEED <= speed <= MAX_SPEED:
            raise InputError(f"speed is {speed}; give {MIN_SPEED} to {MAX_SPEED} (1 is the voice's own speed)")
        self._speed = speed
        self._hop = round(HOP_MS * sample_rate_hz / 1000)
        self._search = round(SEARCH_MS * sample_rate_hz / 1000)
        self._fade_in = (0.5 - 0.5 * np.cos(np.pi * (np.arange(self._hop) + 0.5) / self._hop)).astype(np.float32)
        self._offset_penalty = OFFSET_PENALTY * np.abs(np.linspace(-1, 1, 2 * self._search + 1))
        self._buffer = np.zeros(0, np.float32)
        self._buffer_start = 0  # position of the buffer's first sample; positions count from the start of the input
        self._samples_in = 0
        self._hops_out = 0
        self._continuation = 0  # position of the last window's second half

    def feed(self, pcm: Samples) -> Samples:
        """Consume float32 `[samples]`; return the output that is final by now, which may be empty."""
        if self._speed == 1:
            return pcm
        self._samples_in += len(pcm)
        self._append(pcm)
        parts = []
        while self._next_hop_ready:
            parts.append(self._overlap_add(self._search))
        return _concatenate(parts)

    def end(self) -> Samples:
        """Return the remaining output; nothing may be fed afterwards. Adds no click at the end."""
        left = round(self._samples_in / self._speed) - self._hops_out * self._hop if self._speed != 1 else 0
        if left <= 0:
            return _concatenate([])
        self._append(np.zeros(0, np.float32))
        # The mirrored samples are not output by themselves, but a window that reaches beyond the end fades into them.
        self._buffer = np.pad(self._buffer, (0, 4 * self._hop + 2 * self._search), mode="symmetric")
        parts = []
        for _ in range(-(-left // self._hop)):
            room = self._samples_in - self._hop - self._nominal_start
            parts.append(self._overlap_add(min(max(room, -self._search), self._search)))
        return _concatenate(parts)[:left]

    @property
    def _next_hop_ready(self) -> bool:
        """Whether all input that the next hop can read has arrived, and enough that the output cannot end within it."""
        needed = max(self._nominal_start + self._search, self._continuation) + self._hop
        return max(needed, (self._hops_out + 1) * self._hop * self._speed) <= self._samples_in

    @property
    def _nominal_start(self) -> int:
        """Position of the next window before the search for the best match."""
        return round(self._hops_out * self._hop * self._speed)

    def _append(self, pcm: Samples) -> None:
        """Append to the buffer and drop what is not read again."""
        oldest = min(
            len(self._buffer) + self._buffer_start, max(0, min(self._continuation, self._nominal_start - self._search))
        )
        self._buffer = np.concatenate([self._buffer[oldest - self._buffer_start :], pcm])
        self._buffer_start = oldest

    def _overlap_add(self, ahead: int) -> Samples:
        """Cross-fade from the last window into the next, at most `ahead` of its nominal position: one hop of output."""
        if self._hops_out == 0:
            begin, out = 0, self._hop_at(0)  # nothing to fade from
        else:
            previous = self._hop_at(self._continuation)
            begin = self._best_match(previous, ahead)
            out = previous + self._fade_in * (self._hop_at(begin) - previous)
        self._hops_out, self._continuation = self._hops_out + 1, begin + self._hop
        return out

    def _best_match(self, previous: Samples, ahead: int) -> int:
        """The position at which the input is most similar to `previous`, by normalized cross-correlation."""
        lowest = self._nominal_start - self._search
        first = max(0, lowest)
        last = max(first, self._nominal_start + ahead)
        searched = self._buffer[first - self._buffer_start : last + self._hop - self._buffer_start]
        products = np.correlate(searched, previous, "valid")  # [positions]
        sums = np.concatenate([[0.0], np.cumsum(np.square(searched, dtype=np.float64))])
        energies = np.maximum(sums[self._hop :] - sums[: -self._hop], 0.0)  # [positions]
        similarity = products / np.sqrt(energies * np.square(previous, dtype=np.float64).sum() + 1e-12)
        return first + int(np.argmax(similarity - self._offset_penalty[first - lowest :][: len(similarity)]))

    def _hop_at(self, position: int) -> Samples:
        """One hop of the input."""
        return self._buffer[position - self._buffer_start : position - self._buffer_start + self._hop]


def _concatenate(parts: list[Samples]) -> Samples:
    return np.concatenate(parts) if parts else np.zeros(0, np.float32)

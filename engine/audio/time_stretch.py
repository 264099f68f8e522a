"""Speech faster or slower at the same pitch, while it is being made.

WSOLA: windows that overlap by half are taken from the input at `speed` times the pace at which they are laid into the
output, each from where it continues the one before it best. W. Verhelst and M. Roelands, "An overlap-add technique
based on waveform similarity (WSOLA) for high quality time-scale modification of speech", ICASSP 1993.
"""

import numpy as np
import numpy.typing as npt

from sayline_tts.engine.errors import InputError

SLOWEST, FASTEST = 0.5, 2.0
HOP_MS = 12.0  # half a window: with the other half two periods of a deep voice
SEARCH_MS = 6.5  # to either side: together a period of 77 Hz
NEAR = 0.02  # of likeness: what lies so much off the middle of the search has to be better to be worth the jitter

Samples = npt.NDArray[np.float32]


class Tempo:
    """One stream of mono samples: of `n` it makes `n / speed`, rounded, however they come in pieces.

    It waits for no more than `SEARCH_MS + 1.5 * HOP_MS` of what comes. At speed 1 it gives what it gets.
    """

    def __init__(self, speed: float, sample_rate_hz: int) -> None:
        if not SLOWEST <= speed <= FASTEST:
            raise InputError(f"speed is {speed}: give {SLOWEST} to {FASTEST}; 1 is as the voice speaks")
        self._speed = speed
        self._hop = round(HOP_MS * sample_rate_hz / 1000)
        self._search = round(SEARCH_MS * sample_rate_hz / 1000)
        self._rise = (0.5 - 0.5 * np.cos(np.pi * (np.arange(self._hop) + 0.5) / self._hop)).astype(np.float32)
        self._off_middle = NEAR * np.abs(np.linspace(-1, 1, 2 * self._search + 1))
        self._input = np.zeros(0, np.float32)
        self._start = 0  # of `_input`; positions are counted in the whole of what came
        self._came = 0
        self._hops = 0  # laid into the output
        self._next = 0  # the last window's second half

    def feed(self, pcm: Samples) -> Samples:
        """float32 `[samples]`; what can be said of them by now, which may be nothing."""
        if self._speed == 1:
            return pcm
        self._came += len(pcm)
        self._take_in(pcm)
        parts = []
        while self._may_lay:
            parts.append(self._lay(self._search))
        return _joined(parts)

    def end(self) -> Samples:
        """The rest; nothing is fed after that. There is no click at the end which the input has not."""
        left = round(self._came / self._speed) - self._hops * self._hop if self._speed != 1 else 0
        if left <= 0:
            return _joined([])
        self._take_in(np.zeros(0, np.float32))
        # Nobody hears the mirrored samples for themselves, but a window that is cut off by the end goes over into them.
        self._input = np.pad(self._input, (0, 4 * self._hop + 2 * self._search), mode="symmetric")
        parts = []
        for _ in range(-(-left // self._hop)):
            room = self._came - self._hop - self._aim
            parts.append(self._lay(min(max(room, -self._search), self._search)))
        return _joined(parts)[:left]

    @property
    def _may_lay(self) -> bool:
        """Has all come that the next hop looks at, and so much that even the end would not be before that hop's?"""
        looked_at = max(self._aim + self._search, self._next) + self._hop
        return max(looked_at, (self._hops + 1) * self._hop * self._speed) <= self._came

    @property
    def _aim(self) -> int:
        """Where the next window would begin if all were alike."""
        return round(self._hops * self._hop * self._speed)

    def _take_in(self, pcm: Samples) -> None:
        """And forget what is not looked at again."""
        oldest = min(len(self._input) + self._start, max(0, min(self._next, self._aim - self._search)))
        self._input = np.concatenate([self._input[oldest - self._start :], pcm])
        self._start = oldest

    def _lay(self, ahead: int) -> Samples:
        """One hop of output: the last window goes over into the next, `ahead` of its aim at most."""
        if self._hops == 0:
            begin, laid = 0, self._at(0)  # as it is, with nothing before it
        else:
            before = self._at(self._next)
            begin = self._best(before, ahead)
            laid = before + self._rise * (self._at(begin) - before)
        self._hops, self._next = self._hops + 1, begin + self._hop
        return laid

    def _best(self, before: Samples, ahead: int) -> int:
        """Where the input is most like `before`: the cosine of the angle between them."""
        lowest = self._aim - self._search
        first = max(0, lowest)
        last = max(first, self._aim + ahead)
        around = self._input[first - self._start : last + self._hop - self._start]
        products = np.correlate(around, before, "valid")  # [places]
        sums = np.concatenate([[0.0], np.cumsum(np.square(around, dtype=np.float64))])
        energies = np.maximum(sums[self._hop :] - sums[: -self._hop], 0.0)  # [places]
        likeness = products / np.sqrt(energies * np.square(before, dtype=np.float64).sum() + 1e-12)
        return first + int(np.argmax(likeness - self._off_middle[first - lowest :][: len(likeness)]))

    def _at(self, position: int) -> Samples:
        """One hop of the input."""
        return self._input[position - self._start : position - self._start + self._hop]


def _joined(parts: list[Samples]) -> Samples:
    return np.concatenate(parts) if parts else np.zeros(0, np.float32)

"""Choose the part of a recording that a model is prompted with, if it cannot take all of it.

A model repeats the kind of prompt that it was trained on: after a longer one it leaves words out. Prompts should start
and end in pauses, since a model first finishes a word that a prompt ends in.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt

Samples = npt.NDArray[np.float32]
Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]

BLOCKS_PER_SECOND = 50
SPEECH_RANGE_DB = 25.0  # below the loud blocks; quieter blocks are pauses
MIN_CONTRAST_DB = 6.0  # between the loud blocks and a pause
MIN_PAUSE_BLOCKS = 6  # shorter gaps are plosives
MARGIN_BLOCKS = 3  # of a pause that is kept: soft consonants are as quiet as a pause
MIN_FRACTION = 0.6  # of the maximum, of an excerpt that has to end within a phrase
CUT_PENALTY_S = 1.0  # such an excerpt needs this much more speech than one that ends in a pause
LEVEL_PENALTY_S = 0.05  # for each decibel between an excerpt's level and that of the recording
EPSILON = 1e-12


@dataclass(frozen=True)
class Excerpt:
    """A part of a recording, in blocks, and how well it suits as a prompt (more is better)."""

    start: int
    end: int
    score: float


def find_excerpt(mono: Samples, rate_hz: int, max_s: float) -> tuple[int, int]:
    """The best excerpt of at most `max_s` of a recording `[samples]`: its first sample, and the one after its last.

    All of the recording if it is short enough. Otherwise the excerpt with the most speech, of typical level, that
    starts and, if possible, ends in a pause.
    """
    if len(mono) <= max_s * rate_hz:
        return 0, len(mono)
    block = rate_hz // BLOCKS_PER_SECOND
    candidates = _Candidates(_block_power(mono, rate_hz), int(max_s * BLOCKS_PER_SECOND))
    best = max(candidates, key=lambda excerpt: excerpt.score)
    return best.start * block, best.end * block


def speech_power(mono: Samples, rate_hz: int) -> float:
    """Mean power of the speech in `[samples]`, without the pauses."""
    power = _block_power(mono, rate_hz)
    return float(power[_is_speech(power)].mean())


def _block_power(mono: Samples, rate_hz: int) -> Floats:
    block = rate_hz // BLOCKS_PER_SECOND
    blocks = mono[: len(mono) // block * block].reshape(-1, block)
    return np.asarray(np.square(blocks, dtype=np.float64).mean(axis=1) + EPSILON)


def _is_speech(power: Floats) -> Bools:
    levels_db = 10 * np.log10(power)
    quiet_db, loud_db = np.percentile(levels_db, (10, 90))
    middle_db = min((quiet_db + loud_db) / 2, loud_db - MIN_CONTRAST_DB)  # for pauses full of noise
    return np.asarray(levels_db > max(loud_db - SPEECH_RANGE_DB, middle_db))


class _Candidates:
    """All excerpts that start with a phrase. `power`: of each block; `longest`: number of blocks of an excerpt."""

    def __init__(self, power: Floats, longest: int) -> None:
        self._power, self._longest = power, longest
        self._is_speech = _is_speech(power)
        self._level_db = self._speech_level_db(0, len(power))

    def __iter__(self) -> Iterator[Excerpt]:
        blocks, phrases = len(self._power), list(_phrases(self._is_speech))
        for start, _ in phrases:
            for _, end in phrases:
                spare = self._longest - (end - start)
                if start < end and spare >= 0:
                    margin = min(MARGIN_BLOCKS, spare // 2)
                    yield self._excerpt(max(0, start - margin), min(blocks, end + margin), 0.0)
            first = max(0, start - MARGIN_BLOCKS)
            last = min(blocks, first + self._longest)
            shortest = min(last - 1, first + int(MIN_FRACTION * self._longest))
            yield self._excerpt(first, shortest + int(self._power[shortest:last].argmin()) + 1, CUT_PENALTY_S)

    def _excerpt(self, start: int, end: int, penalty_s: float) -> Excerpt:
        speech_s = float(self._is_speech[start:end].sum()) / BLOCKS_PER_SECOND
        difference_db = abs(self._speech_level_db(start, end) - self._level_db)
        return Excerpt(start, end, speech_s - LEVEL_PENALTY_S * difference_db - penalty_s)

    def _speech_level_db(self, start: int, end: int) -> float:
        speech = self._power[start:end][self._is_speech[start:end]]
        return float(10 * np.log10(speech.mean()))


def _phrases(is_speech: Bools) -> Iterator[tuple[int, int]]:
    """First block, and the one after the last, of each run of speech between pauses."""
    speech = np.flatnonzero(is_speech)
    gaps = np.flatnonzero(np.diff(speech) > MIN_PAUSE_BLOCKS)
    bounds = np.concatenate([[-1], gaps, [len(speech) - 1]])
    for before, last in pairwise(bounds.tolist()):
        yield int(speech[before + 1]), int(speech[last]) + 1

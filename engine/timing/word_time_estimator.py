"""Estimated word times of a segment while it is being made, for models without known alignment heads.

Known are the start of the segment, how much of it has been made, and how long the voice took for similar texts; when
speech ends is unknown until the model says so. Each word is therefore reported with the frame in which it begins, its
end no later than the segment can possibly end (`earliest_end_ms`). When the model has ended speech, the words that are
left share what is left of the segment.
"""

import math
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from unicodedata import east_asian_width

from sayline_tts.engine.text.chunk import Word

# Durations relative to a letter, measured on the embedded voices in sentences of 1 to 21 words.
WORD = 1.0  # in addition to its letters
DIGIT, WIDE = 4.0, 4.0  # a digit or a Chinese, Japanese or Korean character is spoken as a word or syllable
BEFORE_PAUSE = 3.0  # the last word before a pause is lengthened
CLAUSE_PAUSE, SENTENCE_PAUSE = 5.0, 7.0
_PAUSES = dict.fromkeys(",;:–—，、；：", CLAUSE_PAUSE) | dict.fromkeys(".!?…。！？", SENTENCE_PAUSE)
_CLOSING = "\"')]}»”’"

DEFAULT_LETTER_FRAMES = 0.55  # of a voice that has not spoken yet
RELATIVE_DEVIATION = 0.25  # standard deviation of a segment's duration, as a share of the expected one
SMOOTHING = 0.3  # weight of a segment in the running average
MAX_Z = 5.0  # from this many deviations on, the tail of the normal distribution is approximated


@dataclass(frozen=True, slots=True)
class WordTime:
    """Interval of a word in ms of the utterance.

    An estimated word is reported once. An aligned word is reported when it begins, with an expected end, and again,
    `final`, when it has ended. `missed`: it was not spoken, as far as attention tells.
    """

    word: Word
    start_ms: float
    end_ms: float
    estimated: bool = True
    final: bool = True
    missed: bool = False


class SpeakingRate:
    """How fast a voice speaks, in frames for each letter, learned from its segments."""

    def __init__(self) -> None:
        self._letter_frames = DEFAULT_LETTER_FRAMES

    def expected_frames(self, words: Sequence[Word]) -> float:
        """Return the expected frames of speech, without the tail after the last word."""
        return self._letter_frames * _length(words)

    def observe(self, words: Sequence[Word], frames: float) -> None:
        """Learn from a segment whose speech took `frames`."""
        self._letter_frames += SMOOTHING * (frames / _length(words) - self._letter_frames)


class WordTimeEstimator:
    """Estimates of one segment: each of `words` is reported exactly once, in order.

    `expected_ms`: of speech, from `start_ms` on.
    """

    def __init__(self, words: Sequence[Word], start_ms: float, expected_ms: float) -> None:
        self._start_ms = start_ms
        self.grow(words, expected_ms)
        self.finished = False
        self._reported = 0  # words
        self._last_ms = start_ms  # where the last reported word was planned to begin
        self._free_ms = start_ms  # end of the last reported word and of the last frame: no word begins before

    def grow(self, words: Sequence[Word], expected_ms: float) -> None:
        """Continue with a longer text. The words that were reported are the same as before."""
        self.words, self._expected_ms = words, max(expected_ms, 1.0)
        spoken, pauses = zip(*map(_weights, words), strict=True) if words else ((), ())
        self._spoken: Sequence[float] = spoken
        self._begins = [0.0, *accumulate(map(sum, zip(spoken, pauses, strict=True)))]  # of each word, in letters

    def until(self, produced_ms: float, earliest_end_ms: float | None = None) -> list[WordTime]:
        """Return the words that begin in the frame that ends at `produced_ms`.

        `earliest_end_ms`: lower bound of the segment's end; None: `produced_ms`.
        """
        earliest_end_ms = produced_ms if earliest_end_ms is None else earliest_end_ms
        end_ms = self._start_ms + _mean_beyond(produced_ms - self._start_ms, self._expected_ms)
        from_weight, from_ms = self._begins[max(0, self._reported - 1)], self._last_ms
        weight_ms = max(0.0, end_ms - from_ms) / max(self._weight - from_weight, WORD)
        times = []
        while self._reported < len(self.words):
            planned_ms = from_ms + weight_ms * (self._begins[self._reported] - from_weight)
            if planned_ms >= produced_ms:
                break
            begin_ms = max(planned_ms, self._free_ms)
            planned_end_ms = planned_ms + weight_ms * self._spoken[self._reported]
            times.append(self._report(begin_ms, max(begin_ms, min(planned_end_ms, earliest_end_ms))))
            self._last_ms = planned_ms
        self._free_ms = max(self._free_ms, produced_ms)
        return times

    def finish(self, end_ms: float) -> list[WordTime]:
        """Return all words that are left, now that speech has ended and the segment will end at `end_ms`."""
        self.finished = True
        from_weight, from_ms = self._begins[self._reported], min(self._free_ms, end_ms)
        weight_ms = (end_ms - from_ms) / max(self._weight - from_weight, WORD)
        times = []
        while self._reported < len(self.words):
            begin_ms = min(from_ms + weight_ms * (self._begins[self._reported] - from_weight), end_ms)
            word_end_ms = min(begin_ms + weight_ms * self._spoken[self._reported], end_ms)
            times.append(self._report(begin_ms, word_end_ms))
        return times

    @property
    def _weight(self) -> float:
        """Length of all words in letters; a pause after the last one is not speech."""
        return self._begins[-2] + self._spoken[-1] if self.words else 0.0

    def _report(self, begin_ms: float, end_ms: float) -> WordTime:
        self._reported += 1
        self._free_ms = end_ms
        return WordTime(self.words[self._reported - 1], begin_ms, end_ms)


def words_played(times: Sequence[WordTime], played_ms: float) -> int:
    """Return how many words were played: up to the last of which at least half was."""
    return bisect_right([(time.start_ms + time.end_ms) / 2 for time in times], played_ms)


def _weights(word: Word) -> tuple[float, float]:
    """Return the length of a word and of the pause behind it, in letters."""
    pause = _PAUSES.get(word.spoken.rstrip(_CLOSING)[-1:], 0.0)
    return WORD + sum(map(_letter_weight, word.spoken)) + (BEFORE_PAUSE if pause else 0.0), pause


def _letter_weight(char: str) -> float:
    if not char.isalnum():
        return WORD if char.isspace() else 0.0
    return DIGIT if char.isdigit() else WIDE if east_asian_width(char) in "WF" else 1.0


def _length(words: Sequence[Word]) -> float:
    """Return the length of `words` and of the pauses between them, in letters."""
    if not words:
        return 0.0
    weights = list(map(_weights, words))
    return sum(map(sum, weights)) - weights[-1][1]


def _mean_beyond(so_far_ms: float, expected_ms: float) -> float:
    """Return the expected duration of what has lasted `so_far_ms`: the mean of a normal distribution beyond that."""
    deviation_ms = RELATIVE_DEVIATION * expected_ms
    z = (so_far_ms - expected_ms) / deviation_ms
    if z > MAX_Z:
        return so_far_ms + deviation_ms / z
    density = math.exp(-z * z / 2) / math.sqrt(2 * math.pi)
    return expected_ms + deviation_ms * density / (math.erfc(z / math.sqrt(2)) / 2)

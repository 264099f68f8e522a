"""When each word of a segment is spoken, told while the segment is being made. Estimates, until the model is asked.

What is known: when the segment began, how much of it is made, and how long a voice took for texts like this one. When
speech will be over nobody knows before the model says so. So a word is told with the frame in which it begins, its
end no later than the segment can possibly end (`least_ms`); and when the model has said that speech is over, the words
left share what is left of the segment.
"""

import math
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from unicodedata import east_asian_width

from sayline_tts.engine.text.chunk import Word

# Weights, in letters. By the speech of the embedded voices, in sentences of 1 to 21 words.
WORD = 1.0  # on top of its letters
DIGIT, WIDE = 4.0, 4.0  # a digit and a character of Chinese, Japanese or Korean are words or syllables of their own
BEFORE_PAUSE = 3.0  # the last word before a pause is drawn out
CLAUSE_PAUSE, SENTENCE_PAUSE = 5.0, 7.0
_PAUSES = dict.fromkeys(",;:–—，、；：", CLAUSE_PAUSE) | dict.fromkeys(".!?…。！？", SENTENCE_PAUSE)
_CLOSING = "\"')]}»”’"

USUAL_FRAMES = 0.55  # a letter, of a voice that has not been heard
DEVIATION = 0.25  # of the duration of a segment from what was expected, as a share of that
MEMORY = 0.3  # weight of a segment against all before it
FAR = 5.0  # deviations: from there on the tail of the normal distribution is taken for what it is near


@dataclass(frozen=True, slots=True)
class WordTime:
    """In ms of the utterance. Estimates are told once. What the model shows is told when the word begins, with an
    expected end, and when it is `over`.
    """

    word: Word
    start_ms: float
    end_ms: float
    estimated: bool = True
    over: bool = True


class Pace:
    """How fast a voice speaks, in frames of the model, learned from its segments."""

    def __init__(self) -> None:
        self._letter_frames = USUAL_FRAMES

    def expected_frames(self, words: Sequence[Word]) -> float:
        """Of speech, without what follows the last word."""
        return self._letter_frames * _length(words)

    def saw(self, words: Sequence[Word], frames: float) -> None:
        """So many until speech was over."""
        self._letter_frames += MEMORY * (frames / _length(words) - self._letter_frames)


class WordClock:
    """Each of `words` is told exactly once, in order. `expected_ms`: of speech, from `start_ms` on."""

    def __init__(self, words: Sequence[Word], start_ms: float, expected_ms: float) -> None:
        self._words, self._start_ms, self._expected_ms = words, start_ms, max(expected_ms, 1.0)
        spoken, pauses = zip(*map(_weights, words), strict=True) if words else ((), ())
        self._spoken: Sequence[float] = spoken
        self._begins = [0.0, *accumulate(map(sum, zip(spoken, pauses, strict=True)))]  # of each word, in weight
        self.finished = False
        self._told = 0
        self._last_ms = start_ms  # where the last word that was told begins
        self._free_ms = start_ms  # no word that was told, and no frame that has gone, lies behind this

    def until(self, produced_ms: float, least_ms: float | None = None) -> list[WordTime]:
        """To be told with the frame that ends at `produced_ms`. The segment ends at `least_ms` or later."""
        least_ms = produced_ms if least_ms is None else least_ms
        over_ms = self._start_ms + _mean_beyond(produced_ms - self._start_ms, self._expected_ms)
        from_weight, from_ms = self._begins[max(0, self._told - 1)], self._last_ms
        weight_ms = max(0.0, over_ms - from_ms) / max(self._weight - from_weight, WORD)
        times = []
        while self._told < len(self._words):
            planned_ms = from_ms + weight_ms * (self._begins[self._told] - from_weight)
            if planned_ms >= produced_ms:
                break
            begin_ms = max(planned_ms, self._free_ms)
            end_ms = max(begin_ms, min(planned_ms + weight_ms * self._spoken[self._told], least_ms))
            times.append(self._tell(begin_ms, end_ms))
            self._last_ms = planned_ms
        self._free_ms = max(self._free_ms, produced_ms)
        return times

    def finish(self, end_ms: float) -> list[WordTime]:
        """All that are left. Speech is over, the segment ends at `end_ms`."""
        self.finished = True
        from_weight, from_ms = self._begins[self._told], min(self._free_ms, end_ms)
        weight_ms = (end_ms - from_ms) / max(self._weight - from_weight, WORD)
        times = []
        while self._told < len(self._words):
            begin_ms = min(from_ms + weight_ms * (self._begins[self._told] - from_weight), end_ms)
            times.append(self._tell(begin_ms, min(begin_ms + weight_ms * self._spoken[self._told], end_ms)))
        return times

    @property
    def _weight(self) -> float:
        """Of all words; a pause behind the last one is not speech."""
        return self._begins[-2] + self._spoken[-1] if self._words else 0.0

    def _tell(self, begin_ms: float, end_ms: float) -> WordTime:
        self._told += 1
        self._free_ms = end_ms
        return WordTime(self._words[self._told - 1], begin_ms, end_ms)


def heard(times: Sequence[WordTime], played_ms: float) -> int:
    """How many words: up to the last of which at least half was played."""
    return bisect_right([(time.start_ms + time.end_ms) / 2 for time in times], played_ms)


def _weights(word: Word) -> tuple[float, float]:
    """Of the word and of the pause behind it."""
    pause = _PAUSES.get(word.spoken.rstrip(_CLOSING)[-1:], 0.0)
    return WORD + sum(map(_letter, word.spoken)) + (BEFORE_PAUSE if pause else 0.0), pause


def _letter(char: str) -> float:
    if not char.isalnum():
        return WORD if char.isspace() else 0.0
    return DIGIT if char.isdigit() else WIDE if east_asian_width(char) in "WF" else 1.0


def _length(words: Sequence[Word]) -> float:
    if not words:
        return 0.0
    weights = list(map(_weights, words))
    return sum(map(sum, weights)) - weights[-1][1]


def _mean_beyond(so_far_ms: float, expected_ms: float) -> float:
    """What to expect of a duration of which so much has passed: the mean of a normal distribution beyond that."""
    deviation_ms = DEVIATION * expected_ms
    z = (so_far_ms - expected_ms) / deviation_ms
    if z > FAR:
        return so_far_ms + deviation_ms / z
    density = math.exp(-z * z / 2) / math.sqrt(2 * math.pi)
    return expected_ms + deviation_ms * density / (math.erfc(z / math.sqrt(2)) / 2)

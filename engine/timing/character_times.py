"""Times of characters, derived from those of words: for the text as it was sent, and as it is spoken.

The characters of a word share its time evenly, and those between two words take the time between them, so times of
words and of characters agree.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from sayline_tts.engine.timing.word_time_estimator import WordTime


@dataclass(frozen=True, slots=True)
class CharacterTime:
    """Interval in ms of the utterance. Each begins where the one before it ends."""

    char: str
    start_ms: float
    end_ms: float


def written_character_times(text: str, start: int, times: Sequence[WordTime]) -> list[CharacterTime]:
    """Return the times of the characters of `text`, which begins at character `start` of all that was sent.

    `times`: of all words in it.
    """
    at, at_ms = 0, times[0].start_ms if times else 0.0
    found: list[CharacterTime] = []
    for time in times:
        first, behind = time.word.start - start, time.word.end - start
        found += _divide(text[at:first], at_ms, time.start_ms)
        found += _divide(text[first:behind], time.start_ms, time.end_ms)
        at, at_ms = behind, time.end_ms
    return found + _divide(text[at:], at_ms, at_ms)


def spoken_character_times(times: Sequence[WordTime]) -> list[CharacterTime]:
    """Return the times of the characters of the words as they are spoken, with blanks between them."""
    found: list[CharacterTime] = []
    for index, time in enumerate(times):
        if index and time.word.after_space:
            found += _divide(" ", times[index - 1].end_ms, time.start_ms)
        found += _divide(time.word.spoken, time.start_ms, time.end_ms)
    return found


def _divide(chars: str, start_ms: float, end_ms: float) -> list[CharacterTime]:
    """Divide an interval evenly among `chars`."""
    bounds_ms = [start_ms + (end_ms - start_ms) * index / len(chars) for index in range(len(chars))] + [end_ms]
    return [CharacterTime(char, *bounds) for char, bounds in zip(chars, pairwise(bounds_ms), strict=True)]

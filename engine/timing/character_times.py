"""When each character is spoken, from the times of words: of the text as it was sent, and as it is said.

Nobody knows more than the words' times: characters of a word share its time evenly, and what stands between two words
takes the time between them. So times of words and of characters never disagree.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from sayline_tts.engine.timing.word_time_estimator import WordTime


@dataclass(frozen=True, slots=True)
class CharacterTime:
    """In ms of the utterance. Each begins where the one before it ends."""

    char: str
    start_ms: float
    end_ms: float


def written(text: str, start: int, times: Sequence[WordTime]) -> list[CharacterTime]:
    """Of `text`, which begins at character `start` of all that was sent; `times` are those of all words in it."""
    at, at_ms = 0, times[0].start_ms if times else 0.0
    found: list[CharacterTime] = []
    for time in times:
        first, behind = time.word.start - start, time.word.end - start
        found += _share(text[at:first], at_ms, time.start_ms)
        found += _share(text[first:behind], time.start_ms, time.end_ms)
        at, at_ms = behind, time.end_ms
    return found + _share(text[at:], at_ms, at_ms)


def spoken(times: Sequence[WordTime]) -> list[CharacterTime]:
    """Of the words as they are said, blanks between them."""
    found: list[CharacterTime] = []
    for place, time in enumerate(times):
        if place and not time.word.glued:
            found += _share(" ", times[place - 1].end_ms, time.start_ms)
        found += _share(time.word.spoken, time.start_ms, time.end_ms)
    return found


def _share(chars: str, start_ms: float, end_ms: float) -> list[CharacterTime]:
    bounds_ms = [start_ms + (end_ms - start_ms) * place / len(chars) for place in range(len(chars))] + [end_ms]
    return [CharacterTime(char, *bounds) for char, bounds in zip(chars, pairwise(bounds_ms), strict=True)]

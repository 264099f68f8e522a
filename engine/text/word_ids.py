"""Which word each token of a segment belongs to. Knows text and its words; no model."""

from bisect import bisect_right
from collections.abc import Sequence
from itertools import accumulate

from sayline_tts.engine.text.chunk import Word


def owners(words: Sequence[Word], text: str, spans: Sequence[tuple[int, int]]) -> tuple[int, ...]:
    """For each token its word's index. `text` is what the model is given for `words`, `spans` are its tokens' places.

    A model may want its text written otherwise: with other quotation marks, a capital, a full stop. Its letters and
    digits stay, so words are found by counting these. Marks belong to the word before them.
    Empty where that fails: then nobody knows.
    """
    ends = list(accumulate(sum(map(str.isalnum, word.spoken)) for word in words))  # of each word, in letters
    letters_before = [0, *accumulate(map(str.isalnum, text))]  # of each character
    if not ends or letters_before[-1] != ends[-1]:
        return ()
    found: list[int] = []
    for start, end in spans:
        first, behind = letters_before[start], letters_before[end]
        found.append(bisect_right(ends, first) if behind > first else found[-1] if found else 0)
    return tuple(found)

"""Alignment of a chunk's tokens with its words."""

from bisect import bisect_right
from collections.abc import Sequence
from itertools import accumulate

from sayline_tts.engine.text.chunk import Word


def word_ids(words: Sequence[Word], text: str, offsets: Sequence[tuple[int, int]]) -> tuple[int, ...]:
    """Return the index of the word that each token belongs to, or () if the words cannot be found in `text`.

    `text` is the model's input for `words`, and `offsets` are the tokens' start and end in it. `prepare` may change
    quotation marks, capitals and punctuation but keeps letters and digits, so words are located by counting these.
    Punctuation belongs to the word before it.
    """
    word_ends = list(accumulate(sum(map(str.isalnum, word.spoken)) for word in words))  # in letters and digits
    letters_before = [0, *accumulate(map(str.isalnum, text))]  # for each character of the text
    if not word_ends or letters_before[-1] != word_ends[-1]:
        return ()
    ids: list[int] = []
    for start, end in offsets:
        first, stop = letters_before[start], letters_before[end]
        ids.append(bisect_right(word_ends, first) if stop > first else ids[-1] if ids else 0)
    return tuple(ids)

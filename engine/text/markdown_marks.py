"""Removal of inline Markdown from a word.

Emphasis is removed without matching pairs of delimiters. A delimiter at the edge of a word is always markup; one inside
it is text only between operands ("2*3") or letters ("snake_case").
"""

import re
from collections.abc import Sequence

from sayline_tts.engine.text.apostrophes import is_backtick_apostrophe

_MARKDOWN = re.compile(r"[*_`~\[\]\\【]")
_EDGE_MARKS = "*_`[]\\"
_CITATION = re.compile(r"(?<=[\w.,;:!?)\"”])(?:\[\d{1,3}\]){1,5}(?=[^\w\s]{0,4}$)|【[^【】]{0,60}†[^【】]{0,60}】")
_CHECKED_BOXES = ("[x]", "[X]")  # of task lists


def readable_indices(word: str) -> Sequence[int]:
    """Return the indices of the characters that are text, in ascending order."""
    if not _MARKDOWN.search(word):
        return range(len(word))
    if word in _CHECKED_BOXES:
        return []
    dropped: set[int] = set()
    for citation in _CITATION.finditer(word):
        dropped.update(range(citation.start(), citation.end()))
    letters = [i for i, char in enumerate(word) if char.isalnum() and i not in dropped]
    if letters:
        dropped.update(_edge_marks(word, 0, letters[0]))
        dropped.update(_edge_marks(word, letters[-1] + 1, len(word)))
        dropped.update(_inner_marks(word, letters[0], letters[-1]))
    return [i for i in range(len(word)) if i not in dropped]


def _edge_marks(word: str, start: int, end: int) -> list[int]:
    return [
        i
        for i in range(start, end)
        if word[i] in _EDGE_MARKS
        or (word[i] == "~" and "~" in (word[i - 1 : i], word[i + 1 : i + 2]))
        or (word[i] == "!" and word[i + 1 : i + 2] == "[")
    ]


def _inner_marks(word: str, first: int, last: int) -> list[int]:
    """Return the indices of markup between the first and the last letter or digit."""
    return [
        i
        for i in range(first, last)
        if (word[i] in "`\\" and not is_backtick_apostrophe(word, i))
        or (word[i] == "*" and not (_is_operand(word, i, -1) and _is_operand(word, i, +1)))
        or (word[i] in "[]" and "]" in (word[i], word[i - 1]))
        or (word[i : i + 2] == "~~" or word[i - 1 : i + 1] == "~~")
        or (word[i : i + 2] == "__" or word[i - 1 : i + 1] == "__")
        or (word[i] == "_" and not (word[i - 1].isalnum() and word[i + 1].isalnum()))
    ]


def _is_operand(word: str, i: int, direction: int) -> bool:
    """Return whether a number, a single letter or a parenthesis is next to a run of asterisks, in this direction."""
    while 0 <= i < len(word) and word[i] == "*":
        i += direction
    if not 0 <= i < len(word):
        return False
    beyond = word[i + direction : i + direction + 1] if i + direction >= 0 else ""
    return word[i].isdigit() or word[i] in "()" or (word[i].isalpha() and not beyond.isalpha())

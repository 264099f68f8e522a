"""Marks of Markdown in one written word: which characters of it are to be read.

Emphasis needs no search for its other half. A mark at the edge of a word says nothing by itself, and one inside it does
so only between operands ("2*3", "snake_case").
"""

import re
from collections.abc import Sequence

_MARKED = re.compile(r"[*_`~\[\]\\【]")
_EDGE_MARKS = "*_`[]\\"
_CITATION = re.compile(r"(?<=[\w.,;:!?)\"”])(?:\[\d{1,3}\]){1,5}(?=[^\w\s]{0,4}$)|【[^【】]{0,60}†[^【】]{0,60}】")
_DONE = ("[x]", "[X]")  # in a list of things to do


def kept(word: str) -> Sequence[int]:
    """Where the characters of a word are that are to be read, in order."""
    if not _MARKED.search(word):
        return range(len(word))
    if word in _DONE:
        return []
    dropped: set[int] = set()
    for citation in _CITATION.finditer(word):
        dropped.update(range(citation.start(), citation.end()))
    sounds = [at for at, char in enumerate(word) if char.isalnum() and at not in dropped]
    if sounds:
        dropped.update(_edge_marks(word, 0, sounds[0]))
        dropped.update(_edge_marks(word, sounds[-1] + 1, len(word)))
        dropped.update(_inner_marks(word, sounds[0], sounds[-1]))
    return [at for at in range(len(word)) if at not in dropped]


def _edge_marks(word: str, start: int, end: int) -> list[int]:
    return [
        at
        for at in range(start, end)
        if word[at] in _EDGE_MARKS
        or (word[at] == "~" and "~" in (word[at - 1 : at], word[at + 1 : at + 2]))
        or (word[at] == "!" and word[at + 1 : at + 2] == "[")
    ]


def _inner_marks(word: str, first: int, last: int) -> list[int]:
    """Between the first and the last letter or digit."""
    return [
        at
        for at in range(first, last)
        if word[at] in "`\\"
        or (word[at] == "*" and not (_is_operand(word, at, -1) and _is_operand(word, at, +1)))
        or (word[at] in "[]" and "]" in (word[at], word[at - 1]))
        or (word[at : at + 2] == "~~" or word[at - 1 : at + 1] == "~~")
        or (word[at : at + 2] == "__" or word[at - 1 : at + 1] == "__")
        or (word[at] == "_" and not (word[at - 1].isalnum() and word[at + 1].isalnum()))
    ]


def _is_operand(word: str, at: int, direction: int) -> bool:
    """Is there a number, a single letter or a bracket on this side of a run of stars?"""
    while 0 <= at < len(word) and word[at] == "*":
        at += direction
    if not 0 <= at < len(word):
        return False
    beyond = word[at + direction : at + direction + 1] if at + direction >= 0 else ""
    return word[at].isdigit() or word[at] in "()" or (word[at].isalpha() and not beyond.isalpha())

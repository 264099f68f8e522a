"""Sentence boundary detection at terminal punctuation, before the next word is known.

nupunkt has learned abbreviations, initials and numbers from a large corpus, but it needs the next word, which a stream
often does not have yet. So `classify` runs it with one example of each kind of next word. If all results agree, the
actual word cannot change the result, and there is no need to wait for it.
"""

import re
from enum import Enum, auto

# Quotes, brackets and emphasis that may follow the terminal punctuation.
CLOSING_PUNCTUATION = "\"'”’»›)]}*」』）】〉》"
_TERMINAL = re.compile(rf"[.!?…]['{re.escape(CLOSING_PUNCTUATION)}]*$")
_NEXT_WORDS = ("The", "and", "5", "Smith", "(see", '"The')
# nupunkt finds a boundary between these and "The", but they never end a sentence.
_NEVER_FINAL = re.compile(
    r"(?:^|[\s(\[“\"])(?:e\.g|i\.e|cf|vs|viz|approx|fig|figs|vol|lt|mt|cpt|messrs)\.$", re.IGNORECASE
)


class Boundary(Enum):
    """Whether a sentence ends after a word."""

    UNMARKED = auto()  # no terminal punctuation
    CONTINUES = auto()  # the period belongs to an abbreviation, whatever follows
    AMBIGUOUS = auto()  # depends on the next word
    ENDS = auto()


def has_terminal_punctuation(text: str) -> bool:
    return _TERMINAL.search(text) is not None


def classify(text: str) -> Boundary:
    """Return whether a sentence ends after `text`, which a space and an unknown word follow."""
    if not has_terminal_punctuation(text):
        return Boundary.UNMARKED
    if _NEVER_FINAL.search(text) or _is_saint(text):
        return Boundary.CONTINUES
    results = set()
    for word in _NEXT_WORDS:
        results.add(is_boundary(text, word))
        if len(results) == 2:
            return Boundary.AMBIGUOUS
    return Boundary.ENDS if results == {True} else Boundary.CONTINUES


def _is_saint(text: str) -> bool:
    """Return whether the last word is "St." without a street name before it."""
    *before, last = text.split()
    return last == "St." and not (before and (before[-1][0].isupper() or before[-1][0].isdigit()))


def is_boundary(text: str, next_word: str) -> bool:
    """Return whether a sentence ends between `text` and `next_word`, with a space between them."""
    import nupunkt  # a slow import that uses much memory, and whole texts do not need it

    text = f"so {text}"  # at the start of a line, nupunkt takes "5." for a list marker
    starts = [start for start, _ in nupunkt.load("default").span_tokenize(f"{text} {next_word}")]
    return any(len(text) <= start <= len(text) + 1 for start in starts)

"""Does a sentence end here? Asked where the text stops at a full stop and more may come. Knows nothing of streams.

The knowledge is nupunkt's (abbreviations, initials, numbers, learned from much text). It judges with the next word
in sight, which a stream often does not have yet. So it is asked with one example of every kind of next word: when
they all agree, the real one cannot change anything and there is no need to wait for it.
"""

import re
from enum import Enum, auto

# What may close a sentence after its mark: quotes, brackets, emphasis.
CLOSING = "\"'”’»›)]}*」』）】〉》"
_END = re.compile(rf"[.!?…]['{re.escape(CLOSING)}]*$")
_NEXT_WORDS = ("The", "and", "5", "Smith", "(see", '"The')
# nupunkt would end a sentence between these and a "The"; they never stand at the end of one.
_ALWAYS_GO_ON = re.compile(
    r"(?:^|[\s(\[“\"])(?:e\.g|i\.e|cf|vs|viz|approx|fig|figs|vol|lt|mt|cpt|messrs)\.$", re.IGNORECASE
)


class Verdict(Enum):
    NO_MARK = auto()  # there is nothing that could end a sentence
    GOES_ON = auto()  # an abbreviation: whatever follows belongs to it
    DEPENDS = auto()  # on the next word
    ENDS = auto()


def has_end_mark(text: str) -> bool:
    return _END.search(text) is not None


def verdict(text: str) -> Verdict:
    """`text` is followed by a blank, and by we do not know what."""
    if not has_end_mark(text):
        return Verdict.NO_MARK
    if _ALWAYS_GO_ON.search(text) or _is_saint(text):
        return Verdict.GOES_ON
    answers = set()
    for word in _NEXT_WORDS:
        answers.add(ends_before(text, word))
        if len(answers) == 2:
            return Verdict.DEPENDS
    return Verdict.ENDS if answers == {True} else Verdict.GOES_ON


def _is_saint(text: str) -> bool:
    """ "St." that no name stands in front of is no street."""
    *before, last = text.split()
    return last == "St." and not (before and (before[-1][0].isupper() or before[-1][0].isdigit()))


def ends_before(text: str, word: str) -> bool:
    """Does a sentence end between `text` and the `word` that follows it after a blank?"""
    import nupunkt  # here, because it takes time and memory that a whole text does not need

    text = f"so {text}"  # at the start of a line, "5." would be taken for the number of a list item
    starts = [start for start, _ in nupunkt.load("default").span_tokenize(f"{text} {word}")]
    return any(len(text) <= start <= len(text) + 1 for start in starts)

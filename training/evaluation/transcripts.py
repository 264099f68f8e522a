"""Word errors between a text and a transcript, independent of spelling, number format and compounds.

Recognizers write "colour" or "color", "872" or "eight seven two", "junk mail" or "junkmail" for the same sound. Both
texts are normalized before they are compared.
"""

import re
from collections.abc import Iterator, Sequence
from difflib import Match, SequenceMatcher
from itertools import pairwise

from num2words import num2words

_NUMBER = re.compile(r"(?P<unit>[$£€])?(?P<digits>\d[\d,]*(?:[.:]\d+)*)(?P<ordinal>st|nd|rd|th)?(?P<percent>%)?")
_UNITS = {"$": "dollars", "£": "pounds", "€": "euros"}
_WORD = re.compile(r"[a-z']+|\d+")
_SYNONYMS = {
    "okay": "ok", "mr": "mister", "mrs": "missus", "dr": "doctor", "vs": "versus", "grey": "gray", "cheque": "check",
    "programme": "program", "programmes": "programs", "judgement": "judgment", "alright": "allright",
    "gonna": "goingto",
}  # fmt: skip
# British to American. Other words may match as well: both sides change, so equal words stay equal.
_SPELLINGS = (
    (re.compile(r"(?<=\w{3})our"), "or"),
    (re.compile(r"(?<=\w{3})is(?=e|ed|es|er|ers|ing|ation|ations$)"), "iz"),
    (re.compile(r"ys(?=e$|ed$|es$|er$|ing$)"), "yz"),
    (re.compile(r"(?<=[tb])re$"), "er"),
    (re.compile(r"(?<=[tb])res$"), "ers"),
    (re.compile(r"(?<=\w{4})ll(?=ed$|ing$|er$|ers$|or$|ors$)"), "l"),
    (re.compile(r"(?<=\w{2})nse$"), "nce"),
    (re.compile(r"ogue(?=s?$)"), "og"),
)
_ONES = {num2words(value): value for value in range(20)}
_TENS = {num2words(value): value for value in range(20, 100, 10)}
_SCALES = {"hundred": 100, "thousand": 1000, "million": 1_000_000, "billion": 1_000_000_000}


def normalized_words(text: str) -> list[str]:
    """The words of a text, normalized for comparison. A number becomes one word per digit."""
    plain = _NUMBER.sub(_verbalize_number, text.lower().replace("’", "'"))
    words = [word.strip("'") for word in _WORD.findall(plain)]
    return list(_numbers_to_digits(_normalize_spelling(word) for word in words if word))


def word_errors(reference: Sequence[str], hypothesis: Sequence[str]) -> int:
    """Number of substitutions, deletions and insertions. Two words match the compound made of them."""
    rows, columns = len(reference) + 1, len(hypothesis) + 1
    cost = [[row + column for column in range(columns)] for row in range(rows)]
    for row in range(1, rows):
        for column in range(1, columns):
            best = min(
                cost[row - 1][column] + 1,
                cost[row][column - 1] + 1,
                cost[row - 1][column - 1] + (reference[row - 1] != hypothesis[column - 1]),
            )
            if row > 1 and reference[row - 2] + reference[row - 1] == hypothesis[column - 1]:
                best = min(best, cost[row - 2][column - 1])
            if column > 1 and hypothesis[column - 2] + hypothesis[column - 1] == reference[row - 1]:
                best = min(best, cost[row - 1][column - 2])
            cost[row][column] = best
    return cost[-1][-1]


def longest_gap(reference: Sequence[str], hypothesis: Sequence[str]) -> int:
    """The largest number of consecutive reference words without a counterpart: 3 or more indicate a skipped clause."""
    blocks = SequenceMatcher(None, reference, hypothesis, autojunk=False).get_matching_blocks()
    gaps = [
        (after.a - before.a - before.size) - (after.b - before.b - before.size)
        for before, after in pairwise([Match(0, 0, 0), *blocks])
    ]
    return max(0, *gaps)


def _verbalize_number(found: re.Match[str]) -> str:
    digits = found["digits"].replace(",", "").rstrip(".:")
    if found["ordinal"]:
        return f" {num2words(int(digits), to='ordinal')} " if digits.isdigit() else f" {digits} "
    unit = _UNITS.get(found["unit"] or "", "")
    return f" {re.sub('[.:]', ' ', digits)} {'percent' if found['percent'] else ''} {unit} "


def _normalize_spelling(word: str) -> str:
    word = _SYNONYMS.get(word, word)
    for pattern, spelling in _SPELLINGS:
        word = pattern.sub(spelling, word)
    return word


def _numbers_to_digits(words: Iterator[str]) -> Iterator[str]:
    """Replace each run of number words or digits by single digits: "eighteen fifty" and "1850" become 1 8 5 0."""
    run: list[str] = []
    pending: list[str] = []  # "a" or "and", which may be part of a number
    for word in [*words, ""]:
        if word in _ONES or word in _TENS or word in _SCALES or word.isdigit():
            if pending == ["a"] and word in _SCALES:
                yield from _digits(run)
                run = ["one"]
            elif pending and not (pending == ["and"] and run and run[-1] in _SCALES):
                yield from _digits(run)
                yield from pending
                run = []
            pending = []
            run.append(word)
        else:
            if pending or word not in ("a", "and"):
                yield from _digits(run)
                yield from pending
                run, pending = [], []
            if word in ("a", "and"):
                pending = [word]
            elif word:
                yield word
    yield from pending


def _digits(run: Sequence[str]) -> Iterator[str]:
    """The digits of a run of number words; consecutive numbers are concatenated."""
    total = group = 0
    last = 10**12  # value of the previous word: a smaller one continues the number, another starts a new one
    started = False
    for word in run:
        if word.isdigit():
            if started:
                yield from str(total + group)
            yield from word
            total = group = 0
            started, last = False, 10**12
            continue
        if word in _SCALES:
            scale = _SCALES[word]
            if scale == 100:
                group = max(group, 1) * 100
            else:
                total, group = total + max(group, 1) * scale, 0
            last, started = scale, True
            continue
        value = _TENS.get(word, _ONES.get(word, 0))
        fits = not started or (last >= 100 > value) or (last in _TENS.values() and 0 < value < 10)
        if not fits:
            yield from str(total + group)
            total = group = 0
        group += value
        last, started = value if value >= 20 else 1, True
    if started:
        yield from str(total + group)

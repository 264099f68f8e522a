"""Text that arrives in pieces becomes segments that the model can speak. Knows no clock, no model and no connection.

It is a machine that takes one character at a time and never looks back at how they were sent, so the same text gives
the same segments in whatever messages it comes. All it keeps is the sentence being gathered, which has a bound.
"""

import re
import unicodedata
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from engine.judge import CLOSING, Verdict, ends_before, verdict
from engine.text import clean, printable

# Chinese and Japanese marks, which no blank follows.
_WIDE_MARKS = "。！？、，；："
_WIDE_END = re.compile(rf"[。！？][{re.escape(CLOSING)}]*$")
_AFTER_WIDE_MARK = re.compile(rf"[{_WIDE_MARKS}][{re.escape(CLOSING)}]*$")
_STAYS_WITH_MARK = frozenset(_WIDE_MARKS + CLOSING)
_CLAUSE_END = re.compile(rf"[,;:—–、，；：][{re.escape(CLOSING)}]*$")
_FINISHED = re.compile(rf"\W*[^\W\d_]+(?:['’-][^\W\d_]+)*[.!?…,;:]+[{re.escape(CLOSING)}]*$")
_ITEM_MARK = re.compile(r"[-*•–—]|#{1,6}|\(?(?:\d{1,3}|[A-Za-z])[.)]")

_LONGEST_WORD = 32  # characters; what is longer is kept in slices, which bounds all work on one word
_FIRST_CLAUSE_WORDS = 6
_SHORT_CLAUSE_WORDS = 3
_CONTEXT_WORDS = 4


@dataclass(frozen=True)
class Word:
    text: str
    tokens: int
    after_space: bool
    whole: bool  # false for a slice of a long word that goes on
    verdict: Verdict


class Segmenter:
    """`count_tokens` measures a text with the model's tokenizer; no segment is longer than `max_tokens`."""

    def __init__(self, count_tokens: Callable[[str], int], max_tokens: int = 50) -> None:
        self._count_tokens = count_tokens
        self._max_tokens = max_tokens
        self._start_over()

    def _start_over(self) -> None:
        self._words: list[Word] = []
        self._letters = ""  # the word being written
        self._after_space = False
        self._line_ends = 1  # since the last word
        self._in_item = False
        self._spoke = False

    @property
    def pending(self) -> bool:
        """Is there text waiting that can be heard?"""
        return _audible(self._letters) or self._any_audible()

    def push(self, text: str) -> list[str]:
        """The segments that this text completes."""
        return [segment for char in printable(text) for segment in self._take(char)]

    def flush(self) -> list[str]:
        """Everything that waits, now. What comes after starts like a new text."""
        segments = [*self._end_word(whole=True), *self._speak(len(self._words))]
        self._start_over()
        return segments

    def cut(self) -> list[str]:
        """The time limit has passed: what waits, up to the last whole word. An abbreviation stays with its word."""
        segments = list(self._end_word(whole=True)) if self._looks_finished() else []
        count = len(self._words)
        while count and (not self._words[count - 1].whole or self._words[count - 1].verdict is Verdict.GOES_ON):
            count -= 1
        if any(_audible(word.text) for word in self._words[:count]):
            segments += self._speak(count)
        return segments

    @property
    def may_breathe(self) -> bool:
        """Is a clause finished in the sentence that waits?"""
        return self._clause() > 0

    def breathe(self) -> list[str]:
        """The listener runs dry while a sentence is being written: what waits, up to its last finished clause."""
        return list(self._speak(self._clause()))

    def _clause(self) -> int:
        """How many words there are to the last clause end that is worth speaking by itself."""
        for count in range(len(self._words), 0, -1):
            word = self._words[count - 1]
            if word.whole and _CLAUSE_END.search(word.text):
                heard = sum(_audible(each.text) for each in self._words[:count])
                return count if heard >= _SHORT_CLAUSE_WORDS else 0
        return 0

    def _take(self, char: str) -> Iterator[str]:
        if char.isspace():
            yield from self._end_word(whole=True)
            self._after_space = True
            if char == "\n":
                yield from self._end_line()
            return
        if len(self._letters) == _LONGEST_WORD:
            yield from self._end_word(whole=False)
        elif char not in _STAYS_WITH_MARK and self._after_wide_mark():
            yield from self._end_word(whole=True)
        self._letters += char

    def _end_line(self) -> Iterator[str]:
        """A blank line ends a sentence, and so does the end of a list item or of a heading."""
        self._line_ends += 1
        if self._in_item or self._line_ends == 2:
            yield from self._end_sentence()
        self._in_item = False

    def _end_word(self, whole: bool) -> Iterator[str]:
        text, self._letters = clean(self._letters), ""
        if not text:
            return
        starts_item = whole and self._line_ends > 0 and _ITEM_MARK.fullmatch(text) is not None
        self._line_ends = 0
        if starts_item or self._settled_by(text):
            yield from self._end_sentence()
        self._in_item |= starts_item
        *slices, last = self._slices(text)
        for piece in slices:
            yield from self._add(piece, whole=False, judged=Verdict.NO_MARK)
        judged = self._judge(last) if whole and not starts_item else Verdict.NO_MARK
        yield from self._add(last, whole, judged)
        if judged is Verdict.ENDS or (whole and self._first_clause_ends()):
            yield from self._end_sentence()

    def _settled_by(self, text: str) -> bool:
        """Was the last word the end of its sentence, now that the next one is known?"""
        waits = bool(self._words) and self._words[-1].verdict is Verdict.DEPENDS
        return waits and ends_before(_join(self._words[-_CONTEXT_WORDS:]), text)

    def _judge(self, text: str) -> Verdict:
        if not _audible(text) and not self._any_audible():
            return Verdict.NO_MARK  # there is no sentence yet that could end
        if _WIDE_END.search(text):
            return Verdict.ENDS
        space = " " if self._after_space else ""
        return verdict(_join(self._words[-_CONTEXT_WORDS:]) + space + text)

    def _first_clause_ends(self) -> bool:
        """The listener waits for the first segment, so that one may be a clause."""
        return (
            not self._spoke
            and _CLAUSE_END.search(self._words[-1].text) is not None
            and sum(_audible(word.text) for word in self._words) >= _FIRST_CLAUSE_WORDS
        )

    def _add(self, text: str, whole: bool, judged: Verdict) -> Iterator[str]:
        word = Word(text, max(1, self._count_tokens(text)), self._after_space, whole, judged)
        while self._words and sum(each.tokens for each in self._words) + word.tokens > self._max_tokens:
            yield from self._speak(self._best_cut())
        self._words.append(word)
        self._after_space = False

    def _best_cut(self) -> int:
        """How many words of a too long sentence to speak: to the last clause end, else as many as there are."""
        ends = [count for count, word in enumerate(self._words, 1) if word.whole]
        clauses = [count for count in ends if _CLAUSE_END.search(self._words[count - 1].text)]
        apart = [count for count in ends if self._words[count - 1].verdict is not Verdict.GOES_ON]
        late = [count for count in clauses if count > len(self._words) // 3]
        return (late or apart or [len(self._words)])[-1]

    def _end_sentence(self) -> Iterator[str]:
        """Marks alone are not spoken: they wait for the words after them."""
        if self._any_audible():
            yield from self._speak(len(self._words))

    def _speak(self, count: int) -> Iterator[str]:
        words, self._words = self._words[:count], self._words[count:]
        for segment in self._fit(words):
            self._spoke = True
            yield segment

    def _fit(self, words: list[Word]) -> Iterator[str]:
        """Words can take more tokens together than alone; then halve."""
        text = _join(words)
        if not _audible(text):
            return
        if len(words) > 1 and self._count_tokens(text) > self._max_tokens:
            half = len(words) // 2
            yield from self._fit(words[:half])
            yield from self._fit(words[half:])
        else:
            yield text

    def _slices(self, text: str) -> list[str]:
        if len(text) == 1 or self._count_tokens(text) <= self._max_tokens:
            return [text]
        half = len(text) // 2
        return [*self._slices(text[:half]), *self._slices(text[half:])]

    def _any_audible(self) -> bool:
        return any(_audible(word.text) for word in self._words)

    def _after_wide_mark(self) -> bool:
        near_mark = self._letters[-1:] in _STAYS_WITH_MARK  # spares most characters the search
        return near_mark and _AFTER_WIDE_MARK.search(self._letters) is not None

    def _looks_finished(self) -> bool:
        """No blank after it yet, but "there." is finished, while "3." and "x.org/a." may go on."""
        letters = clean(self._letters)
        if _FINISHED.match(letters):
            return self._judge(letters) is not Verdict.GOES_ON
        return self._after_wide_mark()


def _join(words: list[Word]) -> str:
    text = "".join(f" {word.text}" if word.after_space else word.text for word in words)
    return unicodedata.normalize("NFC", " ".join(text.split()))


def _audible(text: str) -> bool:
    return any(map(str.isalnum, text))

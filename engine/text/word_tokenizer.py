"""Characters become written words, each with its place. They have a bound: what is longer is kept in slices."""

import re
from collections.abc import Iterator, Sequence

from sayline_tts.engine.text import markdown_marks
from sayline_tts.engine.text.model_text import clean, printable
from sayline_tts.engine.text.sentence_boundary import CLOSING
from sayline_tts.engine.words import Piece

# Chinese and Japanese marks, which no blank follows.
WIDE_MARKS = "。！？、，；："
_AFTER_WIDE_MARK = re.compile(rf"[{WIDE_MARKS}][{re.escape(CLOSING)}]*$")
_STAYS_WITH_MARK = frozenset(WIDE_MARKS + CLOSING)
_CELL_EDGE = "|"

LONGEST_WORD = 32
LONGEST_ADDRESS = 200  # characters of a word that is to be understood, not only spoken
_MOST_MARKUP = 1000  # characters inside one word


class Letters:
    """`markdown`: its marks are dropped, and a table's cells are words of their own."""

    def __init__(self, markdown: bool) -> None:
        self._markdown = markdown
        self._longest = LONGEST_ADDRESS if markdown else LONGEST_WORD
        self.start_over()

    def start_over(self) -> None:
        self._forget_word()
        self._after_space = False

    def _forget_word(self) -> None:
        self._written: list[str] = []  # all since the word began, markup too
        self._begins_at = 0
        self._letters: list[str] = []
        self._places: list[int] = []  # of each letter in what is written
        self._length = 0

    @property
    def waiting(self) -> str:
        """The word being written, as far as it is there."""
        word = "".join(self._letters)
        return clean("".join(word[at] for at in self._read(word)))

    @property
    def after_space(self) -> bool:
        return self._after_space

    @property
    def after_wide_mark(self) -> bool:
        near_mark = bool(self._letters) and self._letters[-1] in _STAYS_WITH_MARK  # spares most characters the search
        return near_mark and _AFTER_WIDE_MARK.search("".join(self._letters[-LONGEST_WORD:])) is not None

    def text(self, text: str, start: int) -> Iterator[Piece | None]:
        """The words that end in it, and None for the end of a line."""
        plain = text.isascii() and text.isprintable()
        for offset, char in enumerate(text):
            sayable = char if plain else printable(char)
            if not sayable:
                self.markup(char)
            elif sayable.isspace():
                yield from self.space()
                if sayable == "\n":
                    yield None
            elif sayable == _CELL_EDGE and self._markdown:
                yield from self.space()
                self._take(char, start + offset)
                yield from self.space()
            else:
                yield from self._make_room(sayable)
                self._take(char, start + offset)

    def markup(self, text: str) -> None:
        """It stands inside the word, or nowhere."""
        if self._letters:
            self._written.append(text)
            self._length += len(text)

    def space(self) -> Iterator[Piece]:
        yield from self.end_word(whole=True)
        self._after_space = True

    def end_word(self, whole: bool) -> Iterator[Piece]:
        if not self._letters:
            return
        piece = self._piece(whole)
        self._forget_word()
        if piece is not None:
            self._after_space = False
            yield piece

    def _make_room(self, char: str) -> Iterator[Piece]:
        full = len(self._letters) == self._longest or self._length - len(self._letters) > _MOST_MARKUP
        if full:
            yield from self.end_word(whole=False)
        elif char not in _STAYS_WITH_MARK and self.after_wide_mark:
            yield from self.end_word(whole=True)

    def _take(self, char: str, at: int) -> None:
        if not self._letters:
            self._begins_at = at
        self._letters.append(char)
        self._places.append(self._length)
        self._written.append(char)
        self._length += 1

    def _piece(self, whole: bool) -> Piece | None:
        word = "".join(self._letters)
        read = self._read(word)
        text = clean("".join(word[at] for at in read))
        if not text:
            return None
        first, behind = self._span(word, read)
        written = "".join(self._written)[first:behind]
        return Piece(text, written, self._begins_at + first, self._after_space, whole)

    def _span(self, word: str, read: Sequence[int]) -> tuple[int, int]:
        """From where to where the word is written: its letters, and the marks that touch them."""
        if len(read) == len(word) == self._length or not self._markdown:
            return 0, self._places[-1] + 1
        sounds = [at for at in read if word[at].isalnum()] or read
        first, last = sounds[0], sounds[-1]
        start, behind = self._places[first], self._places[last] + 1
        for at in reversed(read[: read.index(first)]):
            if self._places[at] != start - 1:
                break
            start -= 1
        for at in read[read.index(last) + 1 :]:
            if self._places[at] != behind:
                break
            behind += 1
        return start, behind

    def _read(self, word: str) -> Sequence[int]:
        return markdown_marks.kept(word) if self._markdown else range(len(word))

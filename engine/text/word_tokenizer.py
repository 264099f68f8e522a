"""Tokenization of characters into words with offsets into the source text."""

import re
from collections.abc import Callable, Iterator, Sequence
from itertools import groupby, pairwise

from sayline_tts.engine.text import markdown_marks
from sayline_tts.engine.text.apostrophes import replace_apostrophes
from sayline_tts.engine.text.html_entities import decode_entity
from sayline_tts.engine.text.latex import plain_pieces
from sayline_tts.engine.text.model_text import clean, remove_control_characters
from sayline_tts.engine.text.normalization.protocol import RawWord, ReadingTag, TaggedSpan
from sayline_tts.engine.text.reading_tags import parse_reading_tag
from sayline_tts.engine.text.sentence_boundary import CLOSING_PUNCTUATION

# Chinese and Japanese punctuation, which no space follows.
CJK_PUNCTUATION = "。！？、，；："
_ENDS_WITH_CJK_PUNCTUATION = re.compile(rf"[{CJK_PUNCTUATION}][{re.escape(CLOSING_PUNCTUATION)}]*$")
_NEVER_STARTS_WORD = frozenset(CJK_PUNCTUATION + CLOSING_PUNCTUATION)
_CELL_DELIMITER = "|"

MAX_VERBATIM_WORD_CHARS = 32
MAX_WORD_CHARS = 200  # with normalization, which has to see a whole address
_MAX_MARKUP_CHARS = 1000  # inside one word
_MAX_TEXT_BEFORE_CHARS = 300  # between two words of a phrase, with a tag


class WordTokenizer:
    """Collects characters into words of bounded length; a longer word is returned in slices.

    With `markdown`, inline Markdown is removed, and table cell delimiters are words of their own. `sentence_starts`
    returns the indices in a word at which it is divided, because no space follows the end of a sentence.
    """

    def __init__(self, markdown: bool, sentence_starts: Callable[[str], Sequence[int]]) -> None:
        self._markdown = markdown
        self._sentence_starts = sentence_starts
        self._max_chars = MAX_WORD_CHARS if markdown else MAX_VERBATIM_WORD_CHARS
        self.reset()

    def reset(self) -> None:
        self._clear_word()
        self._after_space = False
        self._before = ""  # the source text since the last word, cut if it is long
        self._tag: ReadingTag | None = None

    def _clear_word(self) -> None:
        self._written: list[str] = []  # the source text since the start of the word, with markup
        self._start = 0
        self._chars: list[str] = []
        self._indices: list[int] = []  # of each character in the source text of the word
        self._ends: list[int] = []
        self._written_chars = 0
        self._tags: dict[int, ReadingTag] = {}  # by the index of the character

    @property
    def partial_word(self) -> str:
        """The current, incomplete word."""
        word = "".join(self._chars)
        return clean("".join(word[i] for i in self._readable_indices(word)))

    @property
    def after_space(self) -> bool:
        """Whether a space precedes the current word."""
        return self._after_space

    @property
    def after_cjk_punctuation(self) -> bool:
        """Whether the current word ends with CJK punctuation, so that the next character starts a new word."""
        possible = bool(self._chars) and self._chars[-1] in _NEVER_STARTS_WORD  # much cheaper than the search
        word_end = self._chars[-MAX_VERBATIM_WORD_CHARS:]
        return possible and _ENDS_WITH_CJK_PUNCTUATION.search("".join(word_end)) is not None

    def push(self, text: str, start: int) -> Iterator[RawWord | None]:
        """Yield the words that end in `text`, and None for each line end."""
        is_plain = text.isascii() and text.isprintable()
        for i, char in enumerate(text):
            readable = char if is_plain else remove_control_characters(char)
            yield from self._push_characters(readable, char, start + i)

    def push_entity(self, reference: str, start: int) -> Iterator[RawWord | None]:
        """Add the characters of an HTML character reference, whose source text is the whole reference."""
        yield from self._push_characters(remove_control_characters(decode_entity(reference) or ""), reference, start)

    def push_formula(self, formula: str, start: int) -> Iterator[RawWord | None]:
        """Add a formula in LaTeX; its words have the parts of its source that they come from."""
        for plain, source in plain_pieces(formula):
            yield from self._push_characters(plain, source, start)
            start += len(source)

    def _push_characters(self, readable: str, source: str, start: int) -> Iterator[RawWord | None]:
        if not readable:
            self.push_markup(source)
        for char in readable:
            if char.isspace():
                yield from self.push_space()
                self._add_before(source)
                if char == "\n":
                    yield None
            elif char == _CELL_DELIMITER and self._markdown:
                yield from self.push_space()
                self._append(char, source, start)
                yield from self.push_space()
            else:
                yield from self._end_word_before(char)
                self._append(char, source, start)
            start, source = start + len(source), ""

    def push_markup(self, text: str) -> None:
        """Add markup to the source text of the current word, if there is one."""
        if self._chars:
            self._written.append(text)
            self._written_chars += len(text)
        else:
            self._add_before(text)

    def push_reading_tag(self, text: str) -> None:
        """Add a tag that tells how the text in it is read."""
        self.push_markup(text)
        if self._tag is not None:
            self._tag.is_closed = True
        self._tag = parse_reading_tag(text)

    def push_space(self) -> Iterator[RawWord]:
        yield from self.end_word()
        self._after_space = True

    def end_word(self, is_complete: bool = True) -> Iterator[RawWord]:
        if not self._chars:
            return
        words = self._raw_words(is_complete)
        self._clear_word()
        for word in words:
            self._after_space = False
            yield word

    def _end_word_before(self, char: str) -> Iterator[RawWord]:
        """End the current word if `char` cannot be added to it."""
        markup_chars = self._written_chars - len(self._chars)
        if len(self._chars) == self._max_chars or markup_chars > _MAX_MARKUP_CHARS:
            yield from self.end_word(is_complete=False)
        elif char not in _NEVER_STARTS_WORD and self.after_cjk_punctuation:
            yield from self.end_word()

    def _add_before(self, source: str) -> None:
        if len(self._before) <= _MAX_TEXT_BEFORE_CHARS:
            self._before += source

    def _append(self, char: str, source: str, offset: int) -> None:
        if not self._chars:
            self._start = offset
        if self._tag is not None:
            self._tags[len(self._chars)] = self._tag
        self._chars.append(char)
        self._indices.append(self._written_chars)
        self._written.append(source)
        self._written_chars += len(source)
        self._ends.append(self._written_chars)

    def _raw_words(self, is_complete: bool) -> list[RawWord]:
        """Return the current word, as several words if a sentence ends inside it."""
        word = "".join(self._chars)
        readable = self._readable_indices(word)
        text = "".join(word[i] for i in readable)
        if self._markdown:
            text = replace_apostrophes(text)
        starts = self._sentence_starts(text) if is_complete else ()
        written, words, done = "".join(self._written), list[RawWord](), 0
        for first, end in pairwise((0, *starts, len(text))):
            if spoken := clean(text[first:end]):
                start, stop = self._extent(word, readable[first:end], is_whole=not starts)
                after_space = self._after_space or first > 0
                part_is_complete = is_complete or end < len(text)
                tags = self._tagged_spans(readable[first:end], text[first:end]) if self._tags else ()
                words.append(
                    RawWord(
                        spoken,
                        written[start:stop],
                        self._start + start,
                        after_space,
                        part_is_complete,
                        before=self._before + written[done:start],
                        tags=tags,
                    )
                )
                self._before, done = "", stop
        self._add_before(written[done:])
        return words

    def _tagged_spans(self, readable: Sequence[int], text: str) -> tuple[TaggedSpan, ...]:
        """Return which characters of a cleaned word are in tags."""
        spans = list[TaggedSpan]()
        position = 0
        for tag, group in groupby(zip(readable, text, strict=True), lambda pair: self._tags.get(pair[0])):
            chars = len(clean("".join(char for _, char in group)))
            if tag is not None and chars:
                spans.append(TaggedSpan(position, position + chars, tag))
            position += chars
        return tuple(spans) if position == len(clean(text)) else ()

    def _extent(self, word: str, readable: Sequence[int], is_whole: bool) -> tuple[int, int]:
        """Return start and end of the word without markup around it: its letters and the punctuation next to them."""
        if is_whole and (len(readable) == len(word) == self._written_chars or not self._markdown):
            return 0, self._ends[-1]
        letters = [i for i in readable if word[i].isalnum()] or readable
        first, last = letters[0], letters[-1]
        start, stop = self._indices[first], self._ends[last]
        for i in reversed(readable[: readable.index(first)]):
            if self._ends[i] != start:
                break
            start = self._indices[i]
        for i in readable[readable.index(last) + 1 :]:
            if self._indices[i] != stop:
                break
            stop = self._ends[i]
        return start, stop

    def _readable_indices(self, word: str) -> Sequence[int]:
        return markdown_marks.readable_indices(word) if self._markdown else range(len(word))

"""Segmentation of a stream of words into chunks that the model can speak: sentences, or parts of long ones.

Words are processed one at a time, so chunks do not depend on how the text was split into messages. Only the current
sentence is buffered, and its length is bounded.
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

from sayline_tts.engine.text.chunk import TextChunk, is_speakable
from sayline_tts.engine.text.chunk_builder import ChunkBuilder
from sayline_tts.engine.text.normalization.protocol import Normalizer, RawWord
from sayline_tts.engine.text.script_filter import ScriptFilter
from sayline_tts.engine.text.sentence_boundary import (
    CLOSING_PUNCTUATION,
    Boundary,
    classify,
    has_terminal_punctuation,
    is_boundary,
)
from sayline_tts.engine.text.word_tokenizer import CJK_PUNCTUATION, MAX_VERBATIM_WORD_CHARS

_CJK_SENTENCE_END = re.compile(rf"[。！？][{re.escape(CLOSING_PUNCTUATION)}]*$")
_CLAUSE_END = re.compile(rf"[,;:—–{CJK_PUNCTUATION[3:]}][{re.escape(CLOSING_PUNCTUATION)}]*$")
_ENDS_WITH_PAUSE = re.compile(rf"[.!?…,;:—–{CJK_PUNCTUATION}][{re.escape(CLOSING_PUNCTUATION)}]*$")
_ENDS_LINE = re.compile(rf"[\w:%)\]][{re.escape(CLOSING_PUNCTUATION)}]*$")
_STARTS_LINE = re.compile(r"[\"'“‘«(\[¿¡]*([^\W\d_]|\d)")
_COMPLETE_WORD = re.compile(rf"\W*[^\W\d_]+(?:['’-][^\W\d_]+)*[.!?…,;:]+[{re.escape(CLOSING_PUNCTUATION)}]*$")

_MIN_FIRST_CLAUSE_WORDS = 6
_MIN_CLAUSE_WORDS = 3
_BOUNDARY_CONTEXT_WORDS = 4
_MIN_WRAP_CHARS = 40  # wrapped text has lines at least as wide
_MAX_WRAP_CHARS = 100


@dataclass(frozen=True)
class BufferedWord:
    """A word of the current sentence, with the properties that do not depend on other words."""

    raw: RawWord
    tokens: int
    is_speakable: bool
    boundary: Boundary
    needs_right_context: bool

    @property
    def can_end_chunk(self) -> bool:
        return self.raw.is_complete and self.boundary is not Boundary.CONTINUES and not self.needs_right_context


class Segmenter:
    """Buffers words until a sentence ends.

    A chunk has at most `max_tokens` tokens in its spoken form, as `count_tokens` counts them. The exception is a single
    word that cannot be split.
    """

    def __init__(
        self, count_tokens: Callable[[str], int], normalizer: Normalizer, scripts: ScriptFilter, max_tokens: int
    ) -> None:
        self._normalizer = normalizer
        self._max_tokens = max_tokens
        self._builder = ChunkBuilder(count_tokens, normalizer, scripts, max_tokens)
        self.reset()

    def reset(self) -> None:
        self._builder.reset()
        self._words: list[BufferedWord] = []
        self._line_ends = 1  # since the last word
        self._ends_with_line = False  # in a list item, a heading or a table row
        self._line_start: RawWord | None = None  # the first word of the current line
        self._line_end: RawWord | None = None
        self._longest_line = _MIN_WRAP_CHARS
        self._has_emitted = False
        self._shown = 0  # words at the beginning of the buffer that `open_chunk` has returned

    @property
    def has_speakable(self) -> bool:
        return any(word.is_speakable for word in self._words)

    def flush(self) -> Iterator[TextChunk]:
        """Emit all buffered words."""
        yield from self._emit(len(self._words))

    def flush_words(self) -> Iterator[TextChunk]:
        """Emit the buffered words up to the last one that can end a chunk."""
        count = self.final_words
        if any(word.is_speakable for word in self._words[:count]):
            yield from self._emit(count)

    @property
    def final_words(self) -> int:
        """The number of buffered words up to the last one that can end a chunk: what follows does not change them."""
        return next((count for count in range(len(self._words), 0, -1) if self._words[count - 1].can_end_chunk), 0)

    def open_chunk(self) -> TextChunk | None:
        """Return the `final_words`, which stay buffered: the next chunk begins with them. None: they are no chunk."""
        count = self.final_words
        chunk = self._builder.preview([word.raw for word in self._words[:count]])
        if chunk is not None:
            self._shown = count
        return chunk

    @property
    def clause_words(self) -> int:
        """The number of buffered words up to the last clause end; 0 if they are too few to be a chunk."""
        for count in range(len(self._words), 0, -1):
            raw = self._words[count - 1].raw
            if raw.is_complete and _CLAUSE_END.search(raw.text):
                speakable = sum(word.is_speakable for word in self._words[:count])
                return count if speakable >= _MIN_CLAUSE_WORDS else 0
        return 0

    def flush_clause(self) -> Iterator[TextChunk]:
        """Emit the buffered words up to the last clause end."""
        yield from self._emit(self.clause_words)

    def end_line(self) -> Iterator[TextChunk]:
        """Process a line end. It ends a sentence after a list item, a heading or a table row, and at a blank line."""
        self._line_ends += 1
        if self._ends_with_line or self._line_ends == 2:
            yield from self._flush_sentence()
        self._ends_with_line = False

    def push(self, word: RawWord) -> Iterator[TextChunk]:
        """Add a word, and emit the sentence that it ends or that ended before it."""
        is_marker = word.is_complete and self._line_ends > 0 and self._normalizer.is_block_marker(word.text)
        is_line_break = self._line_ends > 0 and self._is_line_break_before(word)
        self._track_line(word)
        if is_marker or is_line_break or self._is_boundary_before(word.text):
            yield from self._flush_sentence()
        self._ends_with_line |= is_marker or self._normalizer.is_table_delimiter(word.text)
        if is_marker:
            word = replace(word, is_block_marker=True)
        *slices, last = self._builder.split_word(word)
        for each in slices:
            yield from self._append(each, Boundary.UNMARKED)
        boundary = Boundary.UNMARKED
        if word.is_complete and not is_marker:
            boundary = self._classify(last.text, last.after_space)
        yield from self._append(last, boundary)
        if boundary is Boundary.ENDS or (word.is_complete and self._is_first_clause()):
            yield from self._flush_sentence()

    def push_to_phrase(self, word: RawWord) -> None:
        """Add a word without looking for boundaries and limits; `flush` emits the phrase."""
        is_marker = self._line_ends > 0 and self._normalizer.is_block_marker(word.text)
        self._line_ends = 0
        self._words.append(BufferedWord(replace(word, is_block_marker=is_marker), 1, True, Boundary.UNMARKED, False))

    def is_complete_word(self, text: str, after_space: bool) -> bool:
        """Return whether a word that no space follows yet is complete: "there." is, "3." and "x.org/a." may not be."""
        return bool(_COMPLETE_WORD.match(text)) and self._classify(text, after_space) is not Boundary.CONTINUES

    def _flush_sentence(self) -> Iterator[TextChunk]:
        """Emit the sentence. Punctuation alone is kept for the next one."""
        if self.has_speakable:
            yield from self._emit(len(self._words))

    def _is_boundary_before(self, text: str) -> bool:
        """Return whether an ambiguous last word ends the sentence, given the next word."""
        is_ambiguous = bool(self._words) and self._words[-1].boundary is Boundary.AMBIGUOUS
        return is_ambiguous and is_boundary(self._boundary_context(), text[:MAX_VERBATIM_WORD_CHARS])

    def _track_line(self, word: RawWord) -> None:
        if self._line_ends or self._line_start is None:
            self._line_ends = 0
            self._line_start = word
        self._line_end = word
        self._longest_line = max(self._longest_line, min(word.end - self._line_start.start, _MAX_WRAP_CHARS))

    def _is_line_break_before(self, word: RawWord) -> bool:
        """Return whether the line before `word`, which starts a line, ends like a sentence without its period.

        Text was not wrapped there if `word` would have fitted on the line before it. A line that ends with a comma, a
        dash or a word such as "the" continues, and so does one before a word in lower case.
        """
        first, last = self._line_start, self._line_end
        if first is None or last is None or not self._words or self._words[-1].raw != last:
            return False
        if word.end - word.start + 1 + last.end - first.start > self._longest_line:
            return False
        if not _ENDS_LINE.search(last.text) or self._normalizer.joins_lines(last.text):
            return False
        before, after = _STARTS_LINE.match(first.text), _STARTS_LINE.match(word.text)
        if before is None or after is None:
            return False
        return after[1].isupper() or (after[1].isdigit() and before[1].isdigit())

    def _classify(self, text: str, after_space: bool) -> Boundary:
        if not is_speakable(text) and not self.has_speakable:
            return Boundary.UNMARKED  # there is no sentence to end
        if _CJK_SENTENCE_END.search(text):
            return Boundary.ENDS
        if not has_terminal_punctuation(text):
            return Boundary.UNMARKED
        if self._normalizer.is_abbreviation(text):
            return Boundary.CONTINUES
        return classify(self._boundary_context() + (" " if after_space else "") + text[-MAX_VERBATIM_WORD_CHARS:])

    def _boundary_context(self) -> str:
        """Return the last words, of long ones only the end."""
        words = [word.raw for word in self._words[-_BOUNDARY_CONTEXT_WORDS:]]
        text = "".join((" " if word.after_space else "") + word.text[-MAX_VERBATIM_WORD_CHARS:] for word in words)
        return " ".join(text.split())

    def _is_first_clause(self) -> bool:
        """Return whether the buffered words are a clause that can be the first chunk, for which the listener waits."""
        return (
            not self._has_emitted
            and _CLAUSE_END.search(self._words[-1].raw.text) is not None
            and sum(word.is_speakable for word in self._words) >= _MIN_FIRST_CLAUSE_WORDS
        )

    def _append(self, raw: RawWord, boundary: Boundary) -> Iterator[TextChunk]:
        """Buffer a word. If the sentence becomes too long, emit a part of it first."""
        tokens, speakable = self._builder.measure(raw)
        needs_right_context = not raw.said and self._normalizer.needs_right_context(raw.text)
        word = BufferedWord(raw, tokens, speakable, boundary, needs_right_context)
        while self._words and sum(each.tokens for each in self._words) + tokens > self._max_tokens:
            yield from self._emit(max(self._split_point(raw), self._shown), continues=True)
        self._words.append(word)

    def _split_point(self, next_word: RawWord) -> int:
        """Return how many words of a sentence that is too long to emit.

        That is up to a late clause end, or else to a word in the second half where a phrase starts, or else most words.
        """
        complete = [count for count, word in enumerate(self._words, 1) if word.raw.is_complete]
        clauses = [count for count in complete if _CLAUSE_END.search(self._words[count - 1].raw.text)]
        allowed = [count for count in complete if self._words[count - 1].can_end_chunk]
        late_clauses = [count for count in clauses if count > len(self._words) // 3]
        if late_clauses or not allowed:
            return (late_clauses or [len(self._words)])[-1]
        following = [*(word.raw for word in self._words[1:]), next_word]
        ranks = {count: self._normalizer.phrase_rank(following[count - 1].text) for count in allowed}
        late = [count for count in allowed if count > len(self._words) // 2 and ranks[count]]
        return max(late, key=lambda count: (ranks[count], count), default=allowed[-1])

    def _emit(self, count: int, continues: bool = False) -> Iterator[TextChunk]:
        """Emit words. `continues`: their sentence goes on with the next words."""
        words, self._words = self._words[:count], self._words[count:]
        shown, self._shown = self._shown, 0
        chunks = list(self._builder.build([word.raw for word in words], shown))
        for i, chunk in enumerate(chunks, 1):
            self._has_emitted = True
            goes_on = (continues or i < len(chunks)) and not _ENDS_WITH_PAUSE.search(chunk.words[-1].text)
            yield replace(chunk, continues=True) if goes_on else chunk

"""Reader of streamed text: turns messages into chunks that the model can speak, and pauses.

The result does not depend on how the text was split into messages. Only an incomplete word or tag and the current
sentence are buffered, and both are bounded.
"""

from collections.abc import Callable, Iterator
from enum import Enum, auto

from sayline_tts.engine.text.chunk import Pause, TextChunk, is_speakable
from sayline_tts.engine.text.lexicon_matcher import NO_LEXICONS, LexiconMatcher
from sayline_tts.engine.text.normalization.normalizer import normalizer_for
from sayline_tts.engine.text.normalization.pass_through import PassThrough
from sayline_tts.engine.text.normalization.protocol import Normalizer, RawWord
from sayline_tts.engine.text.respeller import Respeller
from sayline_tts.engine.text.scanner import MarkupToken, Scanner, TokenKind
from sayline_tts.engine.text.script_filter import ScriptFilter
from sayline_tts.engine.text.segmenter import Segmenter
from sayline_tts.engine.text.word_tokenizer import WordTokenizer

_UNLIMITED = 1 << 30


class _Line(Enum):
    END = auto()


_Item = RawWord | Pause | _Line


class Reader:
    """Scanner, word tokenizer, respeller and segmenter of one text stream.

    `count_tokens` counts with the model's tokenizer; chunks have at most `max_tokens`. Letters that are not Latin and
    for which `has_token` is false are skipped. `clean_up` normalizes numbers, units, symbols, Markdown and LaTeX
    formulas to their spoken form; without it only unspeakable characters are removed (`clean`).
    Pauses are recognized and `lexicons` looked up either way.
    """

    def __init__(
        self,
        count_tokens: Callable[[str], int],
        language: str = "en",
        clean_up: bool = True,
        max_tokens: int = 50,
        has_token: Callable[[str], bool] = lambda char: True,
        lexicons: LexiconMatcher = NO_LEXICONS,
    ) -> None:
        normalizer: Normalizer = normalizer_for(language) if clean_up else PassThrough()
        self._scanner = Scanner(markdown=clean_up)
        self._tokenizer = WordTokenizer(markdown=clean_up, sentence_starts=normalizer.sentence_starts)
        self._respeller = Respeller(lexicons, normalizer)
        self._scripts = ScriptFilter(has_token)
        self._segmenter = Segmenter(count_tokens, normalizer, self._scripts, max_tokens)
        self._phrase_segmenter = Segmenter(count_tokens, normalizer, self._scripts, _UNLIMITED)

    @property
    def skipped_scripts(self) -> list[str]:
        """Scripts of text that was skipped so far, because the model has no tokens for it: "the Thai script"."""
        return sorted(self._scripts.removed)

    @property
    def pending(self) -> bool:
        """Whether speakable text is buffered."""
        return (
            self._segmenter.has_speakable
            or self._respeller.is_holding
            or is_speakable(self._scanner.buffered)
            or is_speakable(self._tokenizer.partial_word)
        )

    def push(self, text: str) -> list[TextChunk | Pause]:
        """Add text, and return the chunks that it completes."""
        return list(self._segment(self._scanner.push(text)))

    def flush(self) -> list[TextChunk | Pause]:
        """Return everything that is buffered, and start over. Offsets count on."""
        chunks = [*self._segment(self._scanner.flush()), *self._segment_words(self._end_text())]
        chunks += self._segmenter.flush()
        self._tokenizer.reset()
        self._segmenter.reset()
        return chunks

    def flush_words(self) -> list[TextChunk | Pause]:
        """Return the buffered text up to the last complete word, at a time limit. Abbreviations are not separated."""
        chunks: list[TextChunk | Pause] = []
        if not self._scanner.buffered and self._is_word_complete():
            chunks += self._segment_words(self._respelled(self._tokenizer.end_word()))
        return [*chunks, *self._segmenter.flush_words()]

    @property
    def has_clause(self) -> bool:
        """Whether the buffered text contains a complete clause."""
        return self._segmenter.clause_words > 0

    def flush_clause(self) -> list[TextChunk | Pause]:
        """Return the buffered text up to the last complete clause, to prevent an underrun amid a slow sentence."""
        return list(self._segmenter.flush_clause())

    @property
    def final_words(self) -> int:
        """How many words of the buffered sentence can be spoken whatever follows."""
        return self._segmenter.final_words

    def open_chunk(self) -> TextChunk | None:
        """Return the words of the buffered sentence that can be spoken whatever follows.

        They stay buffered: the next chunk begins with them. Only the spoken form of the last one may still change.
        None: they have nothing to speak, or they are too long for a chunk.
        """
        return self._segmenter.open_chunk()

    def push_phrase(self, text: str) -> list[TextChunk | Pause]:
        """Return a whole text as one chunk, whatever its punctuation. Only pauses divide it."""
        chunks = self.flush()
        parsed = [*self._parse(self._scanner.push(text)), *self._parse(self._scanner.flush())]
        for item in [*self._respelled(iter(parsed)), *self._end_text()]:
            match item:
                case RawWord():
                    self._phrase_segmenter.push_to_phrase(item)
                case Pause():
                    chunks += [*self._phrase_segmenter.flush(), item]
        chunks += self._phrase_segmenter.flush()
        self._tokenizer.reset()
        self._phrase_segmenter.reset()
        return chunks

    def _is_word_complete(self) -> bool:
        tokenizer = self._tokenizer
        is_complete = self._segmenter.is_complete_word(tokenizer.partial_word, tokenizer.after_space)
        return is_complete or tokenizer.after_cjk_punctuation

    def _segment(self, tokens: Iterator[MarkupToken]) -> Iterator[TextChunk | Pause]:
        return self._segment_words(self._respelled(self._parse(tokens)))

    def _segment_words(self, items: Iterator[_Item]) -> Iterator[TextChunk | Pause]:
        for item in items:
            match item:
                case RawWord():
                    yield from self._segmenter.push(item)
                case _Line.END:
                    yield from self._segmenter.end_line()
                case Pause():
                    yield from self._segmenter.flush()
                    yield item

    def _respelled(self, items: Iterator[_Item]) -> Iterator[_Item]:
        """Pass on words with the spoken form that lexicons and tags give them."""
        for item in items:
            match item:
                case RawWord():
                    yield from map(_line_end_or_word, self._respeller.push(item))
                case _Line.END:
                    yield from map(_line_end_or_word, self._respeller.end_line())
                case Pause():
                    yield from map(_line_end_or_word, self._respeller.flush())
                    yield item

    def _end_text(self) -> Iterator[_Item]:
        """Return the words that the tokenizer and the respeller hold: no text follows."""
        yield from self._respelled(self._tokenizer.end_word())
        yield from map(_line_end_or_word, self._respeller.flush())

    def _parse(self, tokens: Iterator[MarkupToken]) -> Iterator[_Item]:
        for token in tokens:
            if token.kind is TokenKind.MARKUP:
                self._tokenizer.push_markup(token.text)
                continue
            if token.kind is TokenKind.READING_TAG:
                self._tokenizer.push_reading_tag(token.text)
                continue
            if token.kind is TokenKind.ENTITY:
                yield from map(_line_end_or_word, self._tokenizer.push_entity(token.text, token.start))
                continue
            if token.kind is TokenKind.FORMULA:
                yield from map(_line_end_or_word, self._tokenizer.push_formula(token.text, token.start))
                continue
            if token.kind is TokenKind.TEXT or token.kind is TokenKind.LINE_END:
                yield from map(_line_end_or_word, self._tokenizer.push(token.text or "\n", token.start))
                continue
            yield from self._tokenizer.push_space()
            if token.kind is TokenKind.PARAGRAPH_END:
                yield from (_Line.END, _Line.END)
            elif token.duration_ms:
                yield Pause(token.duration_ms, token.start)


def _line_end_or_word(word: RawWord | None) -> RawWord | _Line:
    return _Line.END if word is None else word

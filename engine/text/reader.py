"""Text that arrives in pieces becomes passages that the model can speak. Knows no clock, no model and no connection.

It never looks back at how the text was sent, so the same text gives the same passages in whatever messages it comes.
All it keeps is a mark that is not whole, and the sentence being gathered; both have a bound.
"""

from collections.abc import Callable, Iterator
from enum import Enum, auto

from sayline_tts.engine.text.chunk import Passage, Pause, audible
from sayline_tts.engine.text.normalization.normalizer import speech_of
from sayline_tts.engine.text.normalization.pass_through import AsWritten, Speech
from sayline_tts.engine.text.scanner import Bit, Kind, Scanner
from sayline_tts.engine.text.segmenter import Sentences
from sayline_tts.engine.text.word_tokenizer import Letters
from sayline_tts.engine.words import Piece

_ENDLESS = 1 << 30


class _Line(Enum):
    END = auto()


class Reader:
    """`count_tokens` measures a text with the model's tokenizer; no passage is longer than `max_tokens`.

    `clean_up`: say numbers, units, marks and Markdown as a person would. Without it a word is spoken as it is written,
    but for what nobody can say (`sayline_tts.engine.text.model_text.clean`). Pauses are heard either way.
    """

    def __init__(
        self,
        count_tokens: Callable[[str], int],
        language: str = "en",
        clean_up: bool = True,
        max_tokens: int = 50,
    ) -> None:
        speech: Speech = speech_of(language) if clean_up else AsWritten()
        self._scanner = Scanner(markdown=clean_up)
        self._letters = Letters(markdown=clean_up)
        self._sentences = Sentences(count_tokens, speech, max_tokens)
        self._phrase = Sentences(count_tokens, speech, _ENDLESS)

    @property
    def pending(self) -> bool:
        """Is there text waiting that can be heard?"""
        return self._sentences.any_audible or audible(self._scanner.held) or audible(self._letters.waiting)

    def push(self, text: str) -> list[Passage | Pause]:
        """The passages that this text completes."""
        return list(self._take(self._scanner.push(text)))

    def flush(self) -> list[Passage | Pause]:
        """Everything that waits, now. What comes after starts like a new text."""
        passages = [*self._take(self._scanner.flush())]
        for piece in self._letters.end_word(whole=True):
            passages += self._sentences.word(piece)
        passages += self._sentences.flush()
        self._letters.start_over()
        self._sentences.start_over()
        return passages

    def cut(self) -> list[Passage | Pause]:
        """The time limit has passed: what waits, up to the last whole word. An abbreviation stays with its word."""
        passages: list[Passage | Pause] = []
        if not self._scanner.held and self._word_is_finished():
            for piece in self._letters.end_word(whole=True):
                passages += self._sentences.word(piece)
        return [*passages, *self._sentences.cut()]

    @property
    def may_breathe(self) -> bool:
        """Is a clause finished in the sentence that waits?"""
        return self._sentences.clause > 0

    def breathe(self) -> list[Passage | Pause]:
        """The listener runs dry while a sentence is being written: what waits, up to its last finished clause."""
        return list(self._sentences.breathe())

    def whole(self, text: str) -> list[Passage | Pause]:
        """A phrase, whatever its marks say; more than one only where a pause parts it."""
        passages = self.flush()
        for item in [*self._items(self._scanner.push(text)), *self._items(self._scanner.flush())]:
            passages += self._gather(item)
        for piece in self._letters.end_word(whole=True):
            self._phrase.gather(piece)
        passages += self._phrase.flush()
        self._letters.start_over()
        self._phrase.start_over()
        return passages

    def _word_is_finished(self) -> bool:
        letters = self._letters
        return self._sentences.finishes(letters.waiting, letters.after_space) or letters.after_wide_mark

    def _take(self, bits: Iterator[Bit]) -> Iterator[Passage | Pause]:
        for item in self._items(bits):
            match item:
                case Piece():
                    yield from self._sentences.word(item)
                case _Line.END:
                    yield from self._sentences.line_end()
                case Pause():
                    yield from self._sentences.flush()
                    yield item

    def _gather(self, item: Piece | Pause | _Line) -> Iterator[Passage | Pause]:
        match item:
            case Piece():
                self._phrase.gather(item)
            case Pause():
                yield from self._phrase.flush()
                yield item

    def _items(self, bits: Iterator[Bit]) -> Iterator[Piece | Pause | _Line]:
        for bit in bits:
            if bit.kind is Kind.MARKUP:
                self._letters.markup(bit.text)
                continue
            if bit.kind is Kind.TEXT or bit.kind is Kind.LINE_END:
                for piece in self._letters.text(bit.text or "\n", bit.start):
                    yield _Line.END if piece is None else piece
                continue
            yield from self._letters.space()
            if bit.kind is Kind.PARAGRAPH_END:
                yield from (_Line.END, _Line.END)
            elif bit.duration_ms:
                yield Pause(bit.duration_ms, bit.start)

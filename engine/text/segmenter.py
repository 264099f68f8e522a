"""Words become passages that the model can speak: sentences, or parts of those that are too long.

It is a machine that takes one word at a time, so the same text gives the same passages in whatever messages it comes.
All it keeps is the sentence being gathered, which has a bound.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

from sayline_tts.engine.text.chunk import Passage, Word, audible
from sayline_tts.engine.text.normalization.pass_through import Speech
from sayline_tts.engine.text.sentence_boundary import CLOSING, Verdict, ends_before, has_end_mark, verdict
from sayline_tts.engine.text.word_tokenizer import LONGEST_WORD, WIDE_MARKS
from sayline_tts.engine.words import Piece

_WIDE_END = re.compile(rf"[。！？][{re.escape(CLOSING)}]*$")
_CLAUSE_END = re.compile(rf"[,;:—–{WIDE_MARKS[3:]}][{re.escape(CLOSING)}]*$")
_FINISHED = re.compile(rf"\W*[^\W\d_]+(?:['’-][^\W\d_]+)*[.!?…,;:]+[{re.escape(CLOSING)}]*$")

_FIRST_CLAUSE_WORDS = 6
_SHORT_CLAUSE_WORDS = 3
_CONTEXT_WORDS = 4


@dataclass(frozen=True)
class Heard:
    """A word and what is known of it by itself."""

    piece: Piece
    tokens: int
    audible: bool
    verdict: Verdict
    leans: bool  # on the word after it, which may change how it is said

    @property
    def parts(self) -> bool:
        """May a passage end behind it?"""
        return self.piece.whole and self.verdict is not Verdict.GOES_ON and not self.leans


class Sentences:
    """No passage has more than `max_tokens`, as `count_tokens` measures what is said, but for a single long word."""

    def __init__(self, count_tokens: Callable[[str], int], speech: Speech, max_tokens: int) -> None:
        self._count_tokens = count_tokens
        self._speech = speech
        self._max_tokens = max_tokens
        self.start_over()

    def start_over(self) -> None:
        self._words: list[Heard] = []
        self._before: tuple[Piece, ...] = ()  # the last words that were spoken
        self._line_ends = 1  # since the last word
        self._in_item = False
        self._spoke = False

    @property
    def any_audible(self) -> bool:
        return any(word.audible for word in self._words)

    def flush(self) -> Iterator[Passage]:
        """Everything that waits, now."""
        yield from self._speak(len(self._words))

    def cut(self) -> Iterator[Passage]:
        """What waits, up to the last word that needs no other. An abbreviation stays with its word."""
        count = len(self._words)
        while count and not self._words[count - 1].parts:
            count -= 1
        if any(word.audible for word in self._words[:count]):
            yield from self._speak(count)

    @property
    def clause(self) -> int:
        """How many words there are to the last clause end that is worth speaking by itself."""
        for count in range(len(self._words), 0, -1):
            piece = self._words[count - 1].piece
            if piece.whole and _CLAUSE_END.search(piece.text):
                heard = sum(each.audible for each in self._words[:count])
                return count if heard >= _SHORT_CLAUSE_WORDS else 0
        return 0

    def breathe(self) -> Iterator[Passage]:
        yield from self._speak(self.clause)

    def line_end(self) -> Iterator[Passage]:
        """A blank line ends a sentence, and so does the end of a list item or of a heading."""
        self._line_ends += 1
        if self._in_item or self._line_ends == 2:
            yield from self.end_sentence()
        self._in_item = False

    def word(self, piece: Piece) -> Iterator[Passage]:
        opens = piece.whole and self._line_ends > 0 and self._speech.opens_item(piece.text)
        self._line_ends = 0
        if opens or self._settled_by(piece.text):
            yield from self.end_sentence()
        self._in_item |= opens or self._speech.in_row(piece.text)
        if opens:
            piece = replace(piece, opens_item=True)
        *slices, last = self._slices(piece)
        for each in slices:
            yield from self._add(each, Verdict.NO_MARK)
        judged = self._judge(last) if piece.whole and not opens else Verdict.NO_MARK
        yield from self._add(last, judged)
        if judged is Verdict.ENDS or (piece.whole and self._first_clause_ends()):
            yield from self.end_sentence()

    def gather(self, piece: Piece) -> None:
        """It belongs to the phrase that waits, wherever that may lead."""
        opens = self._line_ends > 0 and self._speech.opens_item(piece.text)
        self._line_ends = 0
        self._words.append(Heard(replace(piece, opens_item=opens), 1, True, Verdict.NO_MARK, False))

    def finishes(self, text: str, after_space: bool) -> bool:
        """No blank after it yet, but "there." is finished, while "3." and "x.org/a." may go on."""
        return bool(_FINISHED.match(text)) and self._judged(text, after_space) is not Verdict.GOES_ON

    def end_sentence(self) -> Iterator[Passage]:
        """Marks alone are not spoken: they wait for the words after them."""
        if self.any_audible:
            yield from self._speak(len(self._words))

    def _settled_by(self, text: str) -> bool:
        """Was the last word the end of its sentence, now that the next one is known?"""
        waits = bool(self._words) and self._words[-1].verdict is Verdict.DEPENDS
        return waits and ends_before(self._context(), text[:LONGEST_WORD])

    def _judge(self, piece: Piece) -> Verdict:
        return self._judged(piece.text, piece.after_space)

    def _judged(self, text: str, after_space: bool) -> Verdict:
        if not audible(text) and not self.any_audible:
            return Verdict.NO_MARK  # there is no sentence yet that could end
        if _WIDE_END.search(text):
            return Verdict.ENDS
        if not has_end_mark(text):
            return Verdict.NO_MARK
        if self._speech.goes_on(text):
            return Verdict.GOES_ON
        return verdict(self._context() + (" " if after_space else "") + text[-LONGEST_WORD:])

    def _context(self) -> str:
        """The last words. Of a long one its end is enough."""
        pieces = [word.piece for word in self._words[-_CONTEXT_WORDS:]]
        text = "".join((" " if piece.after_space else "") + piece.text[-LONGEST_WORD:] for piece in pieces)
        return " ".join(text.split())

    def _first_clause_ends(self) -> bool:
        """The listener waits for the first passage, so that one may be a clause."""
        return (
            not self._spoke
            and _CLAUSE_END.search(self._words[-1].piece.text) is not None
            and sum(word.audible for word in self._words) >= _FIRST_CLAUSE_WORDS
        )

    def _add(self, piece: Piece, judged: Verdict) -> Iterator[Passage]:
        said = self._alone(piece)
        tokens = max(1, self._count_tokens(said))
        word = Heard(piece, tokens, audible(said), judged, self._speech.leans(piece.text))
        while self._words and sum(each.tokens for each in self._words) + tokens > self._max_tokens:
            yield from self._speak(self._best_cut())
        self._words.append(word)

    def _best_cut(self) -> int:
        """How many words of a too long sentence to speak: to the last clause end, else as many as there are."""
        ends = [count for count, word in enumerate(self._words, 1) if word.piece.whole]
        clauses = [count for count in ends if _CLAUSE_END.search(self._words[count - 1].piece.text)]
        apart = [count for count in ends if self._words[count - 1].parts]
        late = [count for count in clauses if count > len(self._words) // 3]
        return (late or apart or [len(self._words)])[-1]

    def _speak(self, count: int) -> Iterator[Passage]:
        words, self._words = self._words[:count], self._words[count:]
        for passage in self._fit([word.piece for word in words]):
            self._spoke = True
            yield passage

    def _fit(self, pieces: Sequence[Piece]) -> Iterator[Passage]:
        """Words can take more tokens together than alone; then halve."""
        passage = self._say(pieces)
        spoken = passage.spoken
        if not audible(spoken):
            return
        if len(pieces) > 1 and self._count_tokens(spoken) > self._max_tokens:
            half = len(pieces) // 2
            yield from self._fit(pieces[:half])
            yield from self._fit(pieces[half:])
        else:
            self._before = tuple(pieces[-2:])
            yield passage

    def _say(self, pieces: Sequence[Piece]) -> Passage:
        words = []
        space = True
        for piece, said in zip(pieces, self._speech.say(pieces, self._before), strict=True):
            space |= piece.after_space
            if said:
                words.append(Word(piece.written, piece.start, piece.end, said, glued=not space))
                space = False
        return Passage.of(words)

    def _slices(self, piece: Piece) -> list[Piece]:
        """A word that a mouth can say stays whole, even where its number takes many words to say."""
        if min(len(piece.text), len(piece.written)) == 1 or self._speech.keeps_whole(piece.text):
            return [piece]
        if self._count_tokens(self._alone(piece)) <= self._max_tokens:
            return [piece]
        text, written = len(piece.text) // 2, len(piece.written) // 2
        left = replace(piece, text=piece.text[:text], written=piece.written[:written], whole=False)
        right = replace(
            piece,
            text=piece.text[text:],
            written=piece.written[written:],
            start=piece.start + written,
            after_space=False,
        )
        return [*self._slices(left), *self._slices(right)]

    def _alone(self, piece: Piece) -> str:
        return self._speech.say([piece], ())[0]

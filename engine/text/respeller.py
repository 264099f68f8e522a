"""Words whose spoken form is given: by an entry of a lexicon, or by a tag in the text.

A phrase that is said as one becomes one word, which has the whole phrase as its source text. So words that may become a
phrase are held back until the next ones decide; how the text was cut into messages does not matter.
"""

from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise, takewhile

from sayline_tts.engine.text.lexicon_matcher import LexiconMatcher, MatchedWord
from sayline_tts.engine.text.normalization.protocol import Normalizer, RawWord, ReadingTag

_MAX_TAGGED_WORDS = 40  # in a tag with an alias; a longer text is read as it is


class _Word(MatchedWord):
    """A word that may be held back."""

    __slots__ = ("raw",)

    def __init__(self, raw: RawWord, joins: bool, is_whole: bool) -> None:
        super().__init__(raw.text, joins, is_whole)
        self.raw = raw

    @property
    def begins_in(self) -> ReadingTag | None:
        """The tag in which the first character is."""
        spans = self.raw.tags
        return spans[0].tag if spans and spans[0].start == 0 else None

    @property
    def ends_in(self) -> ReadingTag | None:
        spans = self.raw.tags
        return spans[-1].tag if spans and spans[-1].end == len(self.raw.text) else None


class Respeller:
    """Gives words the spoken form that lexicons and tags ask for. None stands for the end of a line."""

    def __init__(self, lexicons: LexiconMatcher, normalizer: Normalizer) -> None:
        self._lexicons, self._normalizer = lexicons, normalizer
        self._held: list[_Word | None] = []
        self._after_slice = False  # the last word was the beginning of one that is too long

    @property
    def is_holding(self) -> bool:
        """Whether words are held back."""
        return bool(self._held)

    def push(self, word: RawWord) -> Iterator[RawWord | None]:
        if not self._held and not word.tags and self._lexicons.is_empty:
            return iter((word,))
        held = _Word(word, self._joins(word), word.is_complete and not self._after_slice)
        self._after_slice = not word.is_complete
        if not self._held and not word.tags and not self._lexicons.may_begin_in(held):
            return iter((word,))
        self._held.append(held)
        return self._release(final=False)

    def end_line(self) -> Iterator[RawWord | None]:
        """A single line end may be inside a phrase. A second one, or one that nothing precedes, is passed on."""
        if self._held and self._held[-1] is not None:
            self._held.append(None)
            return
        yield from self.flush()
        yield None

    def flush(self) -> Iterator[RawWord | None]:
        """Return everything that is held back: no word follows."""
        self._after_slice = False
        return self._release(final=True)

    def _joins(self, word: RawWord) -> bool:
        """Return whether the source text between a word and the one before it is known, and only space."""
        before = next((each for each in reversed(self._held) if each is not None), None)
        return before is not None and word.after_space and word.start - before.raw.end == len(word.before)

    def _release(self, final: bool) -> Iterator[RawWord | None]:
        while self._held:
            words = [each for each in self._held if each is not None]
            if self._held[0] is None:
                del self._held[0]
                yield None
            elif read := self._tagged(words, final) if words[0].raw.tags else self._in_lexicons(words, final):
                count, word = read
                self._drop(count)
                yield word
            else:
                return

    def _drop(self, count: int) -> None:
        """Drop the first words, and the line ends between them."""
        while count:
            count -= self._held.pop(0) is not None

    def _in_lexicons(self, words: list[_Word], final: bool) -> tuple[int, RawWord] | None:
        """Return how many words the first one becomes one with, and what they become; None: not known yet."""
        untagged = list(takewhile(lambda word: not word.raw.tags, words))
        parts, last, index, done = list[str](), 0, 0, 0  # `done`: characters of the last word that are in the parts
        while index < len(untagged[last].folded):
            match, can_grow = self._lexicons.find(untagged[last:], index)
            if can_grow and not final and len(untagged) == len(words):
                return None
            if match is None:
                index += 1
                continue
            parts += [untagged[last].text[done : untagged[last].offset(index)], match.entry.said]
            last, index = last + match.word, match.end
            done = untagged[last].offset(index)
        if not parts:
            return 1, words[0].raw
        parts.append(untagged[last].text[done:])
        return last + 1, self._joined(words[: last + 1], "".join(parts))

    def _tagged(self, words: list[_Word], final: bool) -> tuple[int, RawWord] | None:
        """The same if the first word is in a tag, or partly."""
        count = 1
        while (tag := words[count - 1].ends_in) and tag.alias:
            if count > _MAX_TAGGED_WORDS or (final and not tag.is_closed):
                tag.alias = ""  # it is not closed
                break
            if count == len(words):
                if not tag.is_closed:
                    return None
                break
            if words[count].begins_in is not tag or not words[count].joins:
                break
            count += 1
        if not any(span.tag.alias or span.tag.kind for span in words[0].raw.tags):
            return 1, replace(words[0].raw, tags=())
        said = self._tagged_word(words[0].raw)
        for before, word in pairwise(words[:count]):
            said += self._tagged_word(word.raw, before.ends_in)
        return count, self._joined(words[:count], said)

    def _tagged_word(self, raw: RawWord, before: ReadingTag | None = None) -> str:
        """Return how a word is said, without the alias of `before`, which was said with the words before it."""
        parts, done = list[str](), 0
        for span in raw.tags:
            parts.append(raw.text[done : span.start])
            text, done = raw.text[span.start : span.end], span.end
            if span.tag.kind:
                parts.append(self._normalizer.interpret(text, span.tag.kind, span.tag.format))
            elif span.start or span.tag is not before:
                parts.append(span.tag.alias or text)
        return "".join([*parts, raw.text[done:]])

    def _joined(self, words: list[_Word], said: str) -> RawWord:
        """Return one word for the source text of several."""
        first, *rest = (word.raw for word in words)
        return replace(
            first,
            text=" ".join(word.raw.text for word in words),
            written=first.written + "".join(raw.before + raw.written for raw in rest),
            is_complete=words[-1].raw.is_complete,
            tags=(),
            said=self._normalizer.respell(said),
        )

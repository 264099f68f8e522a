"""Normalization of words and their assembly to chunks within the token limit."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

from sayline_tts.engine.text.chunk import TextChunk, Word, is_speakable
from sayline_tts.engine.text.normalization.protocol import Normalizer, RawWord
from sayline_tts.engine.text.script_filter import ScriptFilter

_LEFT_CONTEXT_WORDS = 2


class ChunkBuilder:
    """Builds the chunks of one text. The last words of a chunk are the left context of the next one."""

    def __init__(
        self, count_tokens: Callable[[str], int], normalizer: Normalizer, scripts: ScriptFilter, max_tokens: int
    ) -> None:
        self._count_tokens = count_tokens
        self._normalizer, self._scripts = normalizer, scripts
        self._max_tokens = max_tokens
        self.reset()

    def reset(self) -> None:
        self._left_context: tuple[RawWord, ...] = ()

    def build(self, words: Sequence[RawWord], shown: int = 0) -> Iterator[TextChunk]:
        """Verbalize words. They can have more tokens together than alone; if these are too many, halve the chunk.

        The first `shown` words stay in one chunk.
        """
        chunk = self._verbalize(words)
        spoken = chunk.spoken
        if not is_speakable(spoken):
            return
        if len(words) > 1 and self._count_tokens(spoken) > self._max_tokens:
            half = max(len(words) // 2, shown)
            yield from self.build(words[:half], shown)
            yield from self.build(words[half:])
        else:
            self._left_context = tuple(words[-_LEFT_CONTEXT_WORDS:])
            yield chunk

    def preview(self, words: Sequence[RawWord]) -> TextChunk | None:
        """Verbalize words that stay buffered. None: there is nothing to speak, or they have too many tokens."""
        spoken = (chunk := self._verbalize(words)).spoken
        return chunk if is_speakable(spoken) and self._count_tokens(spoken) <= self._max_tokens else None

    def measure(self, word: RawWord) -> tuple[int, bool]:
        """Return the number of tokens of a word, at least 1, and whether it is speakable."""
        spoken = self._verbalize_alone(word)
        return max(1, self._count_tokens(spoken)), is_speakable(spoken)

    def split_word(self, word: RawWord) -> list[RawWord]:
        """Split a word with too many tokens in half, repeatedly. A word that people would pronounce stays whole."""
        if word.said or min(len(word.text), len(word.written)) == 1 or self._normalizer.is_unsplittable(word.text):
            return [word]
        if self._count_tokens(self._verbalize_alone(word)) <= self._max_tokens:
            return [word]
        text, written = len(word.text) // 2, len(word.written) // 2
        left = replace(word, text=word.text[:text], written=word.written[:written], is_complete=False)
        right = replace(
            word,
            text=word.text[text:],
            written=word.written[written:],
            start=word.start + written,
            after_space=False,
        )
        return [*self.split_word(left), *self.split_word(right)]

    def _verbalize(self, raw_words: Sequence[RawWord]) -> TextChunk:
        words = []
        after_space = True
        for raw, spoken in zip(raw_words, self._normalizer.verbalize(raw_words, self._left_context), strict=True):
            after_space |= raw.after_space
            if spoken := self._scripts.remove_unknown(spoken):
                words.append(Word(raw.written, raw.start, raw.end, spoken, after_space))
                after_space = False
        return TextChunk.from_words(words)

    def _verbalize_alone(self, word: RawWord) -> str:
        return self._scripts.remove_unknown(self._normalizer.verbalize([word], ())[0])

"""The text of one context as sent, with the times of its words."""

from collections import deque
from dataclasses import replace

from sayline.messages import Word

KEPT_CHARS = 16_384  # kept before the latest word, at least; earlier text is discarded


class Transcript:
    """Text and words, in the order in which they arrive."""

    def __init__(self) -> None:
        self._text = ""
        self._start = 0  # offset of `_text` in all text sent
        self._words: deque[Word] = deque()
        self._last_has_ended = False  # of the latest word it is known when

    def add(self, text: str) -> None:
        self._text += text

    def add_word(self, word: Word) -> None:
        """Add the next word."""
        self._words.append(word)
        self._last_has_ended = False
        start = word.start_char - KEPT_CHARS
        if start - self._start >= KEPT_CHARS:  # in large steps
            self._text, self._start = self._text[start - self._start :], start
            while self._words[0].end_char <= start:
                self._words.popleft()

    def set_word_end(self, end_ms: float) -> None:
        """Set the exact end of the latest word."""
        if self._words:
            self._words[-1] = replace(self._words[-1], end_ms=end_ms)
            self._last_has_ended = True

    def whole_chars(self, received_ms: float) -> int:
        """Return where the last word ends that lies within so much audio as a whole; 0 if none is known to.

        A word ends where the next one begins, or when it was told to. Estimated times tell nothing.
        """
        next_start_ms: float | None = None
        for number, word in enumerate(reversed(self._words)):
            ended = number == 0 and self._last_has_ended and word.end_ms <= received_ms
            if not word.estimated and (ended or (next_start_ms is not None and next_start_ms <= received_ms)):
                return word.end_char
            next_start_ms = word.start_ms
        return 0

    def forget_words(self, end_char: int) -> None:
        """Forget the words after this: they will be told again."""
        while self._words and self._words[-1].end_char > end_char:
            self._words.pop()

    def split_heard(self, played_ms: float) -> tuple[int, str, str]:
        """Return how many characters were heard, that text, and the rest. A word counts if half of it was played."""
        chars = self._start
        for word in self._words:
            if (word.start_ms + word.end_ms) / 2 <= played_ms:
                chars = max(chars, word.end_char)
        return self.split_at(chars)

    def split_at(self, chars: int) -> tuple[int, str, str]:
        """Return `chars`, the text up to there, and the rest."""
        return chars, self._text[: chars - self._start], self._text[chars - self._start :]

"""The text of one context as it was sent, and when which word of it is heard. Pure: told both as they come."""

from collections import deque
from dataclasses import replace

from sayline.messages import Word

KEPT_CHARS = 16_384  # behind the newest word, at least; what lies before that is forgotten


class Transcript:
    def __init__(self) -> None:
        self._text = ""
        self._start = 0  # of `_text`; characters are counted in all that was sent
        self._words: deque[Word] = deque()

    def add(self, text: str) -> None:
        self._text += text

    def tell(self, word: Word) -> None:
        """The next word that will be heard."""
        self._words.append(word)
        start = word.start_char - KEPT_CHARS
        if start - self._start >= KEPT_CHARS:  # not a little each time
            self._text, self._start = self._text[start - self._start :], start
            while self._words[0].end_char <= start:
                self._words.popleft()

    def tell_end(self, end_ms: float) -> None:
        """Of the newest word, as it was in truth."""
        if self._words:
            self._words[-1] = replace(self._words[-1], end_ms=end_ms)

    def parted(self, played_ms: float) -> tuple[int, str, str]:
        """How many characters were heard, and the text before and behind: to the last word of which half was heard."""
        chars = self._start
        for word in self._words:
            if (word.start_ms + word.end_ms) / 2 <= played_ms:
                chars = max(chars, word.end_char)
        return chars, self._text[: chars - self._start], self._text[chars - self._start :]

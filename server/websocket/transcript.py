"""The text of one context as it was sent, and when each of its words is played.

Text that was spoken long ago is discarded, so memory does not grow with the length of a context.
"""

from dataclasses import dataclass

from sayline_tts.engine.timing.word_time_estimator import WordTime, words_played

KEPT_CHARS = 16_384  # of spoken text, at least


@dataclass(frozen=True)
class HeardSplit:
    """A text, split where its listener stopped hearing it."""

    heard_chars: int
    heard: str
    unheard: str


class Transcript:
    def __init__(self) -> None:
        self._text = ""
        self._start = 0  # offset of `_text` in all text of the context
        self._times: list[WordTime] = []

    def append(self, text: str) -> None:
        self._text += text

    def add_word(self, time: WordTime) -> None:
        """Add the next word's time, or replace the last one's once its end is known."""
        if self._times and self._times[-1].word is time.word:
            self._times.pop()
        self._times.append(time)

    def slice(self, start: int, end: int) -> str:
        return self._text[max(0, start - self._start) : max(0, end - self._start)]

    def split(self, played_ms: float) -> HeardSplit:
        """Split after the last word of which at least half was played."""
        count = words_played(self._times, played_ms)
        chars = max(self._start, self._times[count - 1].word.end) if count else self._start
        return HeardSplit(chars, self.slice(self._start, chars), self._text[chars - self._start :])

    def trim(self, spoken_chars: int) -> None:
        """Discard text far before `spoken_chars`, which have been spoken."""
        start = spoken_chars - KEPT_CHARS
        if start - self._start < KEPT_CHARS:  # in few large steps, because each one copies the text
            return
        self._text, self._start = self._text[start - self._start :], start
        self._times = [time for time in self._times if time.word.end > start]

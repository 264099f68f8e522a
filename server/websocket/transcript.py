"""The text of one context as it was sent, and when which word of it is heard. Knows no engine and no wire.

Text that was spoken long ago is forgotten, so that who talks for hours takes no more memory than who talks for minutes.
"""

from dataclasses import dataclass

from sayline_tts.engine.timing.word_time_estimator import WordTime, heard

KEPT_CHARS = 16_384  # of what has been spoken, at least


@dataclass(frozen=True)
class Parted:
    """A text parted where its listener stopped hearing it."""

    heard_chars: int
    heard: str
    unheard: str


class Transcript:
    def __init__(self) -> None:
        self._text = ""
        self._start = 0  # of `_text`; characters are counted in all that was sent
        self._times: list[WordTime] = []

    def add(self, text: str) -> None:
        self._text += text

    def tell(self, time: WordTime) -> None:
        """The next word that will be heard; or the last one again, whose end is known now."""
        if self._times and self._times[-1].word is time.word:
            self._times.pop()
        self._times.append(time)

    def between(self, start: int, end: int) -> str:
        return self._text[max(0, start - self._start) : max(0, end - self._start)]

    def parted(self, played_ms: float) -> Parted:
        """Behind the last word of which at least half was played."""
        count = heard(self._times, played_ms)
        chars = max(self._start, self._times[count - 1].word.end) if count else self._start
        return Parted(chars, self.between(self._start, chars), self._text[chars - self._start :])

    def settle(self, chars: int) -> None:
        """So much has been spoken. What lies far behind may be forgotten."""
        start = chars - KEPT_CHARS
        if start - self._start < KEPT_CHARS:  # not a little each time
            return
        self._text, self._start = self._text[start - self._start :], start
        self._times = [time for time in self._times if time.word.end > start]

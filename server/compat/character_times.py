"""Times of the characters of one context, from those of its words, as they arrive."""

import re

from sayline_tts.engine.text.chunk import Word
from sayline_tts.engine.timing.character_times import CharacterTime, written_character_times
from sayline_tts.engine.timing.word_time_estimator import WordTime

# Of a word's predicted time, what its characters take. The rest is left to the next word, because a character cannot be
# taken back, and predictions are as often too long as too short. Of 188 words of the embedded voice one begins
# more than 80 ms late then; with the whole time, 19 do.
SHARE = 0.7
_MARKS = re.compile(r"[^\w\s]*")


class CharacterTimes:
    """All characters of the text as it was sent, each once and in order, up to the last word that has begun.

    A word is followed by a space at once, because clients take it for complete only then: its own, or one that stands
    for whatever comes next.
    """

    def __init__(self) -> None:
        self._text = ""  # sent and not timed yet
        self._start = 0  # offset of `_text` in all text of the context
        self._at_ms = 0.0  # end of the last word
        self._added_space = False  # which is not in the text
        self._in_word = False  # no space has followed the last word
        self._times: list[CharacterTime] = []

    def push(self, text: str) -> None:
        """Append text, as it is pushed to the context."""
        self._text += text

    def on_word(self, start_char: int, end_char: int, start_ms: float, end_ms: float) -> None:
        """A word begins; `end_ms` is predicted."""
        if self._added_space and self._text[:1].isspace():
            self._skip(1)
        start_ms = max(start_ms, self._at_ms)
        self._at_ms = start_ms + SHARE * max(0.0, end_ms - start_ms)
        length = end_char - self._start
        word = Word("", max(start_char, self._start), end_char, "")
        times = [WordTime(word, start_ms, self._at_ms)]
        self._times += written_character_times(self._text[:length], self._start, times)
        self._skip(length)
        self._in_word = True
        self._end_word()

    def on_spoken(self) -> None:
        """A segment has been spoken: whatever marks follow its last word belong to it."""
        marks = _MARKS.match(self._text)
        if self._in_word and marks and marks[0]:
            self._put(marks[0])
            self._skip(len(marks[0]))
            self._end_word()

    def take(self) -> list[CharacterTime]:
        """Return what has been timed since the last call."""
        taken, self._times = self._times, []
        return taken

    def _end_word(self) -> None:
        self._added_space = not self._text
        if self._added_space or self._text[0].isspace():
            self._put(self._text[:1] or " ")
            self._skip(1)
            self._in_word = False

    def _put(self, chars: str) -> None:
        self._times += (CharacterTime(char, self._at_ms, self._at_ms) for char in chars)

    def _skip(self, count: int) -> None:
        self._start += min(count, len(self._text))
        self._text = self._text[count:]

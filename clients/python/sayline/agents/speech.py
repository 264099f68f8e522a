"""One context of an agent, and what was said in it, to the character. Knows no framework."""

from sayline.context import Context
from sayline.messages import Cancelled, Word
from sayline.transcript import Transcript
from sayline.wire import speakable


class Speech:
    def __init__(self, context: Context) -> None:
        self.context = context
        self.cancelled = False
        self._text = ""
        self._reported_chars = 0
        self._transcript = Transcript()

    def add(self, text: str) -> None:
        """Text that is pushed."""
        self._text += speakable(text)
        self._transcript.add(speakable(text))

    def add_word(self, word: Word) -> str:
        """A word, with what lies between it and the one before: with `rest` they make up the text."""
        self._transcript.add_word(word)
        text = self._text[self._reported_chars : word.end_char]
        self._reported_chars = max(self._reported_chars, word.end_char)
        return text

    def rest(self) -> str:
        """Behind the last word."""
        return self._text[self._reported_chars :]

    def heard_text(self, played_ms: float) -> str:
        return self._transcript.split_heard(played_ms)[1]

    async def cancel(self, played_ms: float | None) -> Cancelled:
        self.cancelled = True
        try:
            return await self.context.cancel(played_ms)
        finally:
            await self.close()

    async def close(self) -> None:
        """Whatever it is at."""
        await self.context.__aexit__(None, None, None)

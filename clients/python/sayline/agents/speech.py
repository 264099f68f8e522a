"""One context of an agent, with the text sent and the words received."""

from sayline.context import Context
from sayline.messages import Cancelled, Word
from sayline.transcript import Transcript
from sayline.wire import speakable


class Speech:
    """Tracks how much of the text has been reported as words."""

    def __init__(self, context: Context) -> None:
        self.context = context
        self.cancelled = False
        self._text = ""
        self._reported_chars = 0
        self._transcript = Transcript()

    def add(self, text: str) -> None:
        """Record text that is pushed."""
        self._text += speakable(text)
        self._transcript.add(speakable(text))

    def add_word(self, word: Word) -> str:
        """Return a word with the text between it and the previous one; with `rest` they add up to the text."""
        self._transcript.add_word(word)
        text = self._text[self._reported_chars : word.end_char]
        self._reported_chars = max(self._reported_chars, word.end_char)
        return text

    def rest(self) -> str:
        """Return the text after the last word."""
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
        """Leave the context, cancelling it if necessary."""
        await self.context.__aexit__(None, None, None)

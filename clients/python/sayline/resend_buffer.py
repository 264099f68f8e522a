"""Messages of one context that the server may not have received, for resending after a reconnect."""

from collections import deque

from sayline.errors import ProtocolError
from sayline.messages import Ack, ContextMessage, Flush, Start, Text


class ResendBuffer:
    """Keeps messages until they are known to be received: text that was partly spoken was, and so was all before it."""

    def __init__(self) -> None:
        self.count = 0  # messages that the server counts
        self._chars = 0
        self.spoken_chars = 0  # all before this was received
        self._flushes = self._answered_flushes = 0  # since the last `start`
        self._kept: deque[tuple[ContextMessage, int]] = deque()  # each with the character offset at its end

    @property
    def pending_chars(self) -> int:
        return self._chars - self.spoken_chars

    def add(self, message: ContextMessage) -> None:
        if isinstance(message, Ack):  # superseded by later ones
            return
        if isinstance(message, Text):
            self._chars += len(message.text)
        self._flushes += isinstance(message, Flush)
        self.count += 1
        self._kept.append((message, self._chars))

    def spoken(self, end_char: int) -> None:
        self.spoken_chars = max(self.spoken_chars, end_char)
        while self._kept and self._kept[0][1] < self.spoken_chars:
            self._kept.popleft()

    def flushed(self) -> None:
        """The oldest flush that was not answered has been."""
        self._answered_flushes += 1

    def restart(self, start: Start, spoken_chars: int) -> list[ContextMessage]:
        """Return what a server needs that knows nothing of the context, to go on behind its first `spoken_chars`.

        The messages are counted anew from here on.
        """
        self.spoken(spoken_chars)
        answered = self._answered_flushes - (self._flushes - sum(isinstance(each, Flush) for each, _ in self._kept))
        kept: deque[tuple[ContextMessage, int]] = deque([(start, self.spoken_chars)])
        for message, end in self._kept:
            match message:
                case Start():
                    continue
                case Text(context_id=name, text=text):
                    if end <= self.spoken_chars:
                        continue
                    begin = max(0, self.spoken_chars - (end - len(text)))
                    message = Text(name, text[begin:])
                case Flush():
                    answered -= 1
                    if answered >= 0:
                        continue
            kept.append((message, end))
        self._kept, self.count = kept, len(kept)
        self._flushes, self._answered_flushes = sum(isinstance(each, Flush) for each, _ in kept), 0
        return [message for message, _ in kept]

    def after(self, taken: int) -> list[ContextMessage]:
        """Return the messages after the first `taken`, in order. Raises `ProtocolError` for an impossible count."""
        missing = self.count - taken
        if not 0 <= missing <= len(self._kept):
            raise ProtocolError(f"the server acknowledged {taken} of {self.count} messages, which is impossible")
        return [message for message, _ in list(self._kept)[len(self._kept) - missing :]]

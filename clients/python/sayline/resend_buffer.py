"""What was said of one context, as far as the server may not have taken it. Pure: told what was sent and spoken."""

from collections import deque

from sayline.errors import ProtocolError
from sayline.messages import Ack, ContextMessage, Text


class Sent:
    """Keeps what may have to be said again. Text of which some was spoken was taken, and so was all before it."""

    def __init__(self) -> None:
        self.count = 0  # of the messages that the server counts
        self._chars = 0
        self._spoken_chars = 0
        self._kept: deque[tuple[ContextMessage, int]] = deque()  # each with the character that it ends at

    @property
    def unspoken_chars(self) -> int:
        return self._chars - self._spoken_chars

    def add(self, message: ContextMessage) -> None:
        if isinstance(message, Ack):  # a later one will say more
            return
        if isinstance(message, Text):
            self._chars += len(message.text)
        self.count += 1
        self._kept.append((message, self._chars))

    def spoken(self, end_char: int) -> None:
        self._spoken_chars = max(self._spoken_chars, end_char)
        while self._kept and self._kept[0][1] < self._spoken_chars:
            self._kept.popleft()

    def after(self, taken: int) -> list[ContextMessage]:
        """What the server has not taken, in order. Raises `ProtocolError` where it cannot be so."""
        missing = self.count - taken
        if not 0 <= missing <= len(self._kept):
            raise ProtocolError(f"the server says that it took {taken} of {self.count} messages, which cannot be")
        return [message for message, _ in list(self._kept)[len(self._kept) - missing :]]

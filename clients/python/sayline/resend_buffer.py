"""Messages of one context that the server may not have received, for resending after a reconnect."""

from collections import deque

from sayline.errors import ProtocolError
from sayline.messages import Ack, ContextMessage, Text


class ResendBuffer:
    """Keeps messages until they are known to be received: text that was partly spoken was, and so was all before it."""

    def __init__(self) -> None:
        self.count = 0  # messages that the server counts
        self._chars = 0
        self._acknowledged_chars = 0
        self._kept: deque[tuple[ContextMessage, int]] = deque()  # each with the character offset at its end

    @property
    def pending_chars(self) -> int:
        return self._chars - self._acknowledged_chars

    def add(self, message: ContextMessage) -> None:
        if isinstance(message, Ack):  # superseded by later ones
            return
        if isinstance(message, Text):
            self._chars += len(message.text)
        self.count += 1
        self._kept.append((message, self._chars))

    def spoken(self, end_char: int) -> None:
        self._acknowledged_chars = max(self._acknowledged_chars, end_char)
        while self._kept and self._kept[0][1] < self._acknowledged_chars:
            self._kept.popleft()

    def after(self, taken: int) -> list[ContextMessage]:
        """Return the messages after the first `taken`, in order. Raises `ProtocolError` for an impossible count."""
        missing = self.count - taken
        if not 0 <= missing <= len(self._kept):
            raise ProtocolError(f"the server acknowledged {taken} of {self.count} messages, which is impossible")
        return [message for message, _ in list(self._kept)[len(self._kept) - missing :]]

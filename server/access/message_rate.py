"""A rate of messages, by the generic cell rate algorithm: one number that moves on with each message."""

BURST_S = 1.0  # messages of this long may come at once


class MessageRate:
    def __init__(self) -> None:
        self._due_s = 0.0  # when all messages so far would have come at exactly the rate

    def is_idle(self, now_s: float) -> bool:
        """Whether no message counts any more."""
        return self._due_s <= now_s

    def charge(self, now_s: float, per_second: float) -> float:
        """Count a message. Returns the seconds until the rate is kept again; 0 or less if it is."""
        self._due_s = max(self._due_s, now_s) + 1 / per_second
        return self._due_s - now_s - BURST_S

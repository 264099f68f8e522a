"""A budget of messages a second, for each connection and for each account.

A client that sends faster is read later. TCP then slows it down, and no message is lost. Without a budget, a flood of
tiny messages keeps the event loop busy, and with it the interpreter lock, which the engine's thread needs hundreds of
times a step.
"""

from collections.abc import Callable

from sayline_tts.server.access.limits import Caller, Quotas
from sayline_tts.server.access.message_rate import MessageRate

MIN_WAIT_S = 0.02  # shorter waits are left out until they add up: a timer costs as much as a message
WARN_S = 5.0  # slowed down for this long, a client is told, and again after as long


class MessageBudget:
    """Counts the messages of one connection, also against its caller's account.

    `per_second`: of the connection; `account_per_second`: of all connections of the account.
    """

    def __init__(
        self, quotas: Quotas, caller: Caller, per_second: float, account_per_second: float, now_s: Callable[[], float]
    ) -> None:
        self._quotas, self._caller, self._now_s = quotas, caller, now_s
        self._per_second, self._account_per_second = per_second, account_per_second
        self._rate = MessageRate()
        self._slowed_since_s: float | None = None

    def charge(self) -> float:
        """Count a message that has been read. Returns the seconds to wait before the next one is read."""
        now_s = self._now_s()
        wait_s = max(
            self._rate.charge(now_s, self._per_second),
            self._quotas.message_rate(self._caller).charge(now_s, self._account_per_second),
        )
        if wait_s <= 0:
            self._slowed_since_s = None
        elif self._slowed_since_s is None:
            self._slowed_since_s = now_s
        return wait_s if wait_s >= MIN_WAIT_S else 0.0

    def warning_due(self) -> bool:
        """Whether the client is to be told now that it sends too fast."""
        now_s = self._now_s()
        if self._slowed_since_s is None or now_s - self._slowed_since_s < WARN_S:
            return False
        self._slowed_since_s = now_s
        return True

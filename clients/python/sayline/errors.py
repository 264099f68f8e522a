"""What can go wrong for someone who uses this client. Every message says what happened and what to do about it."""

from collections.abc import Mapping
from types import MappingProxyType


class SaylineError(Exception):
    """The root of all errors that this package raises."""


class Refused(SaylineError):
    """No session came about: no server there, a wrong key, a full server, a wrong address.

    `retry_after_ms`: where it is there, the same has a chance after so long.
    """

    def __init__(self, message: str, retry_after_ms: float | None = None) -> None:
        super().__init__(message)
        self.retry_after_ms = retry_after_ms


class ConnectionLost(SaylineError):
    """The session ended before its contexts did. `close_code` is None where it broke without a word.

    `retry_after_ms`: where it is there, another session has a chance after so long.
    """

    def __init__(self, message: str, close_code: int | None = None, retry_after_ms: float | None = None) -> None:
        super().__init__(message)
        self.close_code = close_code
        self.retry_after_ms = retry_after_ms


class NotRecovered(ConnectionLost):
    """The connection is back, but the server no longer knows this context: speak its text in another one.

    New contexts can be opened in the same session.
    """


class NoSound(SaylineError):
    """There is no sound device to play on, or it is gone."""


class ProtocolError(SaylineError):
    """The server sent something that is not a Sayline message."""


class ContextFailed(SaylineError):
    """The server gave up one context, or refused a message of it; the session and its other contexts go on.

    `code` is for programs. `retry_after_ms`: where it is there, the same has a chance after so long.
    """

    def __init__(self, code: str, message: str, retry_after_ms: float | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.retry_after_ms = retry_after_ms


class Full(ContextFailed):
    """No place: try again after `retry_after_ms`, or wait in line, as a context does without `wait=False`."""


class Limited(ContextFailed):
    """More than this key, session or context may have: wait for `retry_after_ms`, or for speech that is under way."""


class SlowConsumer(ContextFailed):
    """What came was not read: read it sooner, or ask for less of it ahead with `max_lead_ms`."""


class UnknownVoice(ContextFailed):
    """There is no such voice for this key: `Session.ready.voices` has those that there are."""


KINDS: Mapping[str, type[ContextFailed]] = MappingProxyType(
    {
        "full": Full,
        "rate_limited": Limited,
        "text_limit": Limited,
        "too_many_contexts": Limited,
        "slow_consumer": SlowConsumer,
        "unknown_voice": UnknownVoice,
    }
)


def context_failed(code: str, message: str, retry_after_ms: float | None = None) -> ContextFailed:
    """The exception for an error code of the server."""
    return KINDS.get(code, ContextFailed)(code, message, retry_after_ms)

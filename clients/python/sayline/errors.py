"""Errors that this package raises. Every message says what happened and what to do about it."""

from collections.abc import Mapping
from types import MappingProxyType


class SaylineError(Exception):
    """Base class of all errors that this package raises."""


class Refused(SaylineError):
    """No session could be opened: no server, a wrong key, a full server, a wrong address.

    `retry_after_ms`: when a retry may succeed, if the server says so.
    """

    def __init__(self, message: str, retry_after_ms: float | None = None) -> None:
        super().__init__(message)
        self.retry_after_ms = retry_after_ms


class ConnectionLost(SaylineError):
    """The session ended before its contexts. `close_code` is None if there was no close frame.

    `retry_after_ms`: when another session may succeed, if the server says so.
    """

    def __init__(self, message: str, close_code: int | None = None, retry_after_ms: float | None = None) -> None:
        super().__init__(message)
        self.close_code = close_code
        self.retry_after_ms = retry_after_ms


class NotRecovered(ConnectionLost):
    """The connection was restored, but the server cannot go on with this context: speak its text in a new one.

    New contexts can be opened in the same session.
    """


class NoSound(SaylineError):
    """There is no audio output device, or it was disconnected."""


class ProtocolError(SaylineError):
    """The server sent something that is not a Sayline message."""


class ContextFailed(SaylineError):
    """The server failed one context or rejected one of its messages; the session's other contexts continue.

    `code` is for programs. `retry_after_ms`: when a retry may succeed, if the server says so.
    """

    def __init__(self, code: str, message: str, retry_after_ms: float | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.retry_after_ms = retry_after_ms


class Full(ContextFailed):
    """The server is full: retry after `retry_after_ms`, or queue by leaving `wait` at True."""


class Limited(ContextFailed):
    """A limit of this key, session or context is reached: wait for `retry_after_ms`, or for speech in progress."""


class SlowConsumer(ContextFailed):
    """Audio was not read in time: read faster, or request a smaller `max_lead_ms`."""


class UnknownVoice(ContextFailed):
    """There is no such voice for this key: `Session.ready.voices` lists them."""


class VoiceFailed(SaylineError):
    """The server refused to clone, download or delete a voice. `code` is for programs."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


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
    """Return the exception for a server error code."""
    return KINDS.get(code, ContextFailed)(code, message, retry_after_ms)

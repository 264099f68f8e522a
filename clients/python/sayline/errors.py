"""What can go wrong for someone who uses this client. Every message says what happened and what to do about it."""


class SaylineError(Exception):
    """The root of all errors that this package raises."""


class Refused(SaylineError):
    """No session came about: no server there, a wrong key, a full server, a wrong address."""


class ConnectionLost(SaylineError):
    """The session ended before its contexts did."""


class ProtocolError(SaylineError):
    """The server sent something that is not a Sayline message."""


class ContextFailed(SaylineError):
    """The server gave up one context; the session and its other contexts go on. `code` is for programs.

    `retry_after_ms`: where it is there, the same has a chance after so long.
    """

    def __init__(self, code: str, message: str, retry_after_ms: float | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.retry_after_ms = retry_after_ms

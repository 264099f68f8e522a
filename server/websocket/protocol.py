"""The rules of the native protocol: its version, close codes, the states of a context, and errors of the client."""

from enum import Enum, IntEnum

VERSION = "sayline.v1"


class CloseCode(IntEnum):
    """Why the server closes a connection. Codes from 4000 on are specific to this protocol."""

    NORMAL = 1000  # the client has closed the connection
    MESSAGE_TOO_BIG = 1009  # a frame of more than 2 MB; a message of more than 64 KB gets an error event
    INTERNAL = 1011  # a server fault; the session is lost
    RESTART = 1012  # the server stops or restarts: connect again
    TRY_LATER = 1013  # no new session is accepted now
    IDLE = 4000  # no context was open and no message arrived for a long time
    SLOW_CONSUMER = 4001  # the client read nothing for a long time; the session is lost
    MOVED = 4002  # another connection has resumed the session


class ContextState(Enum):
    OPEN = "open"  # accepts text
    ENDING = "ending"  # speaks the remaining text
    DONE = "done"
    CANCELLED = "cancelled"
    FAILED = "failed"

    @property
    def final(self) -> bool:
        return not LEGAL_MOVES[self]


LEGAL_MOVES: dict[ContextState, set[ContextState]] = {
    ContextState.OPEN: {ContextState.ENDING, ContextState.CANCELLED, ContextState.FAILED},
    ContextState.ENDING: {ContextState.DONE, ContextState.CANCELLED, ContextState.FAILED},
    ContextState.DONE: set(),
    ContextState.CANCELLED: set(),
    ContextState.FAILED: set(),
}


class ProtocolError(Exception):
    """An error of the client. `refused_start`: the context that it tried to start was not created."""

    def __init__(
        self,
        code: str,
        message: str,
        context_id: str | None = None,
        refused_start: bool = False,
        retry_after_ms: float | None = None,
    ) -> None:
        super().__init__(message)
        self.code, self.message, self.context_id = code, message, context_id
        self.refused_start, self.retry_after_ms = refused_start, retry_after_ms

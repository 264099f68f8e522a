"""All sessions of a server: admission of new ones, resumption after a lost connection, and shutdown."""

import asyncio
import hmac
import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Protocol

from sayline_tts.engine.errors import Full, InputError
from sayline_tts.server.access.client_address import ClientAddress
from sayline_tts.server.access.limits import Caller, Quotas, RateLimited
from sayline_tts.server.app_state import AppState
from sayline_tts.server.memory import MemoryTrimmer
from sayline_tts.server.websocket.protocol import CloseCode
from sayline_tts.server.websocket.session import Session

log = logging.getLogger(__name__)

RETRY_AFTER_MS = 5_000.0  # a guess: the end of a session cannot be predicted
MIN_SESSIONS, SESSIONS_PER_CONTEXT = 16, 4  # of a key with a limit of contexts and none of sessions
MAX_AWAITING_KEY, AWAITING_KEY_PER_ADDRESS = 32, 8
STOPPING = "the server is shutting down"


class ShuttingDown(InputError):
    code = "shutting_down"
    retry_after_ms = RETRY_AFTER_MS


class SessionConnection(Protocol):
    """What `Sessions` needs of a session's connection."""

    async def release_session(self) -> None:
        """Stop serving the session, because another connection resumes it."""

    async def close_after_flush(self, code: CloseCode, reason: str) -> None:
        """Close the connection after everything queued has been sent."""


class Sessions:
    """`limit`: how many there may be; `--max-sessions`, or fewer if descriptors are short."""

    def __init__(self, app_state: AppState) -> None:
        self.limit = app_state.settings.max_sessions
        self._app_state = app_state
        self._connections: dict[Session, SessionConnection | None] = {}
        self._addresses: dict[Session, ClientAddress] = {}
        self._awaiting_key: list[str] = []  # the network of each such connection
        self._expiring: dict[Session, asyncio.TimerHandle] = {}
        self._closing: set[asyncio.Task[None]] = set()
        self._stopping = self._draining = False
        self._changed = asyncio.Event()
        self._trimmer = MemoryTrimmer()

    def __len__(self) -> int:
        return len(self._connections)

    @property
    def disconnected(self) -> int:
        """How many sessions have no connection."""
        return sum(connection is None for connection in self._connections.values())

    async def wait_until(self, condition: Callable[[], bool]) -> None:
        """Wait for a condition on the sessions; checked whenever one ends or loses its connection."""
        while not condition():
            self._changed.clear()
            await self._changed.wait()

    @property
    def accepting(self) -> bool:
        return not self._stopping

    @property
    def obstacle(self) -> str | None:
        """Why no new session is accepted; None if one is."""
        if self._stopping:
            return STOPPING
        if len(self._connections) >= self.limit:
            return f"{len(self._connections)} sessions are open, which is the maximum"
        return None

    @property
    def quotas(self) -> Quotas:
        return self._app_state.quotas

    def open(
        self, caller: Caller, address: ClientAddress, traceparent: str | None = None, id: str | None = None
    ) -> Session:
        """`traceparent`: of the client, for contexts without their own. `id`: None makes one.

        Raises `ShuttingDown`, `Full`, or `RateLimited` if this key or address has too many sessions.
        """
        self._check_obstacle()
        self._check_key_limit(caller)
        self._check_address_limit(address)
        session = Session(caller, self._app_state, self._on_idle, traceparent, id)
        self._connections[session], self._addresses[session] = None, address
        return session

    @contextmanager
    def awaiting_key(self, address: ClientAddress) -> Iterator[None]:
        """Count a connection whose key is still to come: it has no session, but counts as one of its address.

        Raises `ShuttingDown`, `Full`, `RateLimited`.
        """
        self._check_obstacle()
        self._check_address_limit(address)
        if len(self._awaiting_key) >= MAX_AWAITING_KEY:
            raise Full("too many connections have not sent their key yet; retry in a few seconds", RETRY_AFTER_MS)
        if self._awaiting_key.count(address.network) >= AWAITING_KEY_PER_ADDRESS:
            message = f"{AWAITING_KEY_PER_ADDRESS} connections of this address have not sent their key yet"
            raise RateLimited("rate_limited", f"{message}; send it, then connect again", RETRY_AFTER_MS)
        self._awaiting_key.append(address.network)
        try:
            yield
        finally:
            self._awaiting_key.remove(address.network)

    def attach(self, session: Session, connection: SessionConnection) -> None:
        self._connections[session] = connection
        if expiring := self._expiring.pop(session, None):
            expiring.cancel()

    def detach(self, session: Session, connection: SessionConnection, resumable: bool) -> None:
        """The connection has ended. A `resumable` session is kept for `resume_s`."""
        if self._connections.get(session) is not connection:
            return
        self._connections[session] = None
        self._changed.set()
        resume_s = self._app_state.settings.resume_s
        if not resumable or not resume_s or self._stopping:
            self.discard(session)
            return
        log.info("the connection was lost; the session can be resumed for %g s", resume_s)
        self._expiring[session] = asyncio.get_running_loop().call_later(resume_s, self.discard, session)

    async def take_over(self, token: str, own: Session) -> Session | None:
        """Detach the session with this token from its connection and return it.

        None if the token is unknown, belongs to `own` or to another account.
        """
        session = next((each for each in self._connections if _equal(each.token, token)), None)
        if session is None or session is own or session.caller.resumes_as != own.caller.resumes_as:
            return None
        while connection := self._connections.get(session):
            await connection.release_session()
        return session if session in self._connections else None

    def discard(self, session: Session) -> None:
        """End a session for good. Idempotent."""
        if session not in self._connections:
            return
        del self._connections[session], self._addresses[session]
        if expiring := self._expiring.pop(session, None):
            expiring.cancel()
        session.close()
        self._trimmer.request()
        self._changed.set()

    async def drain(self) -> None:
        """Refuse new sessions and contexts; return when all have ended."""
        self._stopping = self._draining = True
        for session, connection in list(self._connections.items()):
            session.accepts_contexts = False
            if connection is None:
                self.discard(session)
            elif not session.open_contexts:
                self._on_idle(session)
        await self.wait_until(lambda: not self._connections)

    async def end_all(self, context_code: str, message: str, close_code: CloseCode, reason: str) -> None:
        """End every context with an error and close every connection."""
        self._stopping, self._draining = True, False
        connections = [connection for connection in self._connections.values() if connection]
        for session, connection in list(self._connections.items()):
            session.fail(context_code, message)
            if connection is None:
                self.discard(session)
        closing = (connection.close_after_flush(close_code, reason) for connection in connections)
        await asyncio.gather(*closing, *self._closing)

    def _check_obstacle(self) -> None:
        """Raises `ShuttingDown`, `Full`."""
        if self._stopping:
            raise ShuttingDown(f"{STOPPING}; connect again")
        if message := self.obstacle:
            raise Full(f"{message}; retry in {RETRY_AFTER_MS / 1000:g} s", RETRY_AFTER_MS)

    def _check_key_limit(self, caller: Caller) -> None:
        """Raises `RateLimited`. Sessions with tokens count as those of the key that minted them."""
        key = caller.key
        limit = self._key_limit(key)
        if limit is not None:
            self._check_limit("key", limit, lambda session: session.caller.key.account == key.account)

    def _key_limit(self, caller: Caller) -> int | None:
        """Sessions that the account may have connected; None: what `_check_address_limit` allows."""
        limits = caller.limits
        if limits.sessions is not None:
            return limits.sessions
        if limits.contexts is not None:
            return max(MIN_SESSIONS, SESSIONS_PER_CONTEXT * limits.contexts)
        return self._half if caller.sha256 else None

    def _check_address_limit(self, address: ClientAddress) -> None:
        if address.ip is not None and not address.ip.is_loopback:
            limit = self._app_state.settings.max_sessions_per_address or self._half
            limit -= self._awaiting_key.count(address.network)
            self._check_limit("address", limit, lambda session: self._addresses[session].network == address.network)

    @property
    def _half(self) -> int:
        """Sessions that leave room for others, whoever takes them."""
        return max(1, self._app_state.settings.max_sessions // 2)

    def _check_limit(self, whose: str, limit: int, counts: Callable[[Session], bool]) -> None:
        """Raises `RateLimited`.

        As many more may be disconnected, because a client resumes each of those from a new session.
        """
        connected = [connection is not None for session, connection in self._connections.items() if counts(session)]
        if sum(connected) >= limit or len(connected) >= 2 * limit:
            message = f"this {whose} has {len(connected)} sessions, of which {limit} may be connected"
            raise RateLimited("rate_limited", f"{message}; close one, then connect again", RETRY_AFTER_MS)

    def _on_idle(self, session: Session) -> None:
        """While draining, close the connection of a session that has no open context."""
        connection = self._connections.get(session)
        if self._draining and connection is not None:
            closing = asyncio.create_task(
                connection.close_after_flush(CloseCode.RESTART, "the server restarts"), name="close idle session"
            )
            self._closing.add(closing)
            closing.add_done_callback(self._closing.discard)


def _equal(one: str, other: str) -> bool:
    return hmac.compare_digest(one.encode(), other.encode())

"""All sessions of a server: who gets one, which of them wait for their client to come back, and how all of them end.

Knows no socket: a session may have a `Peer`, which is its connection.
"""

import asyncio
import hmac
import logging
from collections.abc import Callable
from typing import Protocol

from sayline_tts.engine.errors import Full
from sayline_tts.server.access.limits import Caller
from sayline_tts.server.app_state import Shared
from sayline_tts.server.websocket.protocol import CloseCode
from sayline_tts.server.websocket.session import Session

log = logging.getLogger(__name__)

RETRY_AFTER_MS = 5_000.0  # nobody knows when a session ends
STOPPING = "the server is shutting down"


class Peer(Protocol):
    async def displace(self) -> None:
        """Let go of the session: another has taken it."""

    async def go_away(self, code: CloseCode, reason: str) -> None:
        """Close when all that waits has been said."""


class Sessions:
    def __init__(self, shared: Shared) -> None:
        self._shared = shared
        self._sessions: dict[Session, Peer | None] = {}
        self._expiring: dict[Session, asyncio.TimerHandle] = {}
        self._leaving: set[asyncio.Task[None]] = set()
        self._stopping = self._draining = False
        self._changed = asyncio.Event()

    def __len__(self) -> int:
        return len(self._sessions)

    @property
    def parked(self) -> int:
        """Sessions without a connection."""
        return sum(peer is None for peer in self._sessions.values())

    async def until(self, so: Callable[[], bool]) -> None:
        """Looks again whenever a session comes, goes, or gets or loses its connection."""
        while not so():
            self._changed.clear()
            await self._changed.wait()

    @property
    def accepting(self) -> bool:
        return not self._stopping

    def open(self, caller: Caller) -> Session:
        """Raises `Full`."""
        if self._stopping:
            raise Full(f"{STOPPING}; connect again", RETRY_AFTER_MS)
        if len(self._sessions) >= self._shared.settings.max_sessions:
            told = f"{len(self._sessions)} sessions are open, and no more may be"
            raise Full(f"{told}; try again in {RETRY_AFTER_MS / 1000:g} s", RETRY_AFTER_MS)
        session = Session(caller, self._shared, self._on_idle)
        self._sessions[session] = None
        return session

    def attach(self, session: Session, peer: Peer) -> None:
        self._sessions[session] = peer
        if expiring := self._expiring.pop(session, None):
            expiring.cancel()

    def detach(self, session: Session, peer: Peer, may_return: bool) -> None:
        """Its connection is gone. `may_return`: another may come for it."""
        if self._sessions.get(session) is not peer:
            return
        self._sessions[session] = None
        self._changed.set()
        resume_s = self._shared.settings.resume_s
        if not may_return or not resume_s or self._stopping:
            self.discard(session)
            return
        log.info("its connection is lost; it can be resumed for %g s", resume_s)
        self._expiring[session] = asyncio.get_running_loop().call_later(resume_s, self.discard, session)

    async def take_over(self, token: str, own: Session) -> Session | None:
        """The session of this token, without its connection. None: there is none that whose session `own` is has."""
        session = next((one for one in self._sessions if _same(one.token, token)), None)
        if session is None or session is own or session.caller.account != own.caller.account:
            return None
        while peer := self._sessions.get(session):
            await peer.displace()
        return session if session in self._sessions else None

    def discard(self, session: Session) -> None:
        """Nobody comes back to it. Twice is harmless."""
        if session not in self._sessions:
            return
        del self._sessions[session]
        if expiring := self._expiring.pop(session, None):
            expiring.cancel()
        session.close()
        self._changed.set()

    async def drain(self) -> None:
        """No new sessions and contexts. Returns when the last of those that there are is over."""
        self._stopping = self._draining = True
        for session, peer in list(self._sessions.items()):
            session.accepts = False
            if peer is None:
                self.discard(session)
            elif not session.open_contexts:
                self._on_idle(session)
        await self.until(lambda: not self._sessions)

    async def end_all(self, context_code: str, told: str, close_code: CloseCode, reason: str) -> None:
        """Every context hears its last event, every session why it is closed."""
        self._stopping, self._draining = True, False
        peers = [peer for peer in self._sessions.values() if peer]
        for session, peer in list(self._sessions.items()):
            session.fail(context_code, told)
            if peer is None:
                self.discard(session)
        await asyncio.gather(*(peer.go_away(close_code, reason) for peer in peers), *self._leaving)

    def _on_idle(self, session: Session) -> None:
        """Where the server stops, whose last context is over may go."""
        peer = self._sessions.get(session)
        if self._draining and peer is not None:
            leaving = asyncio.create_task(peer.go_away(CloseCode.RESTART, "the server restarts"), name="leaving")
            self._leaving.add(leaving)
            leaving.add_done_callback(self._leaving.discard)


def _same(one: str, other: str) -> bool:
    return hmac.compare_digest(one.encode(), other.encode())

"""One connection of a session, whatever protocol it speaks: reads messages, writes events, and closes in order."""

import asyncio
import logging
from abc import ABC, abstractmethod
from collections.abc import Coroutine, Iterable
from contextlib import suppress
from typing import NoReturn, Protocol

from aiohttp import WebSocketError, WSMessage, WSMsgType

from sayline_tts.server.access.message_budget import MessageBudget
from sayline_tts.server.settings import Settings
from sayline_tts.server.websocket import messages
from sayline_tts.server.websocket.outbox import CloseConnection, Frame, SwitchSession
from sayline_tts.server.websocket.protocol import CloseCode, ProtocolError
from sayline_tts.server.websocket.session import Session
from sayline_tts.server.websocket.sessions import Sessions

log = logging.getLogger(__name__)

LINGER_S = 30.0  # for a client that did not read to come back and read why its connection was closed
CLOSE_TIMEOUT_S = 2.0  # for the peer to read what is queued, and to answer the close frame


class Socket(Protocol):
    """What a connection needs of `web.WebSocketResponse`."""

    async def receive(self, timeout: float | None = None) -> WSMessage: ...  # noqa: ASYNC109

    async def send_str(self, data: str) -> None: ...

    async def send_bytes(self, data: bytes) -> None: ...

    async def ping(self, message: bytes = b"") -> None: ...

    async def pong(self, message: bytes = b"") -> None: ...

    async def close(self, *, code: int = 1000, message: bytes = b"") -> bool: ...


class _ConnectionEnded(Exception):
    """One task of the connection has ended it, so the others must stop."""


class SocketConnection(ABC):
    """`transport` is aborted if the peer does not take part in the closing handshake."""

    resumable = True  # whether its session may outlive it

    def __init__(
        self,
        socket: Socket,
        transport: asyncio.WriteTransport,
        session: Session,
        sessions: Sessions,
        settings: Settings,
    ) -> None:
        self._socket, self._transport = socket, transport
        self._session, self._sessions, self._settings = session, sessions, settings
        self._budget = MessageBudget(
            sessions.quotas,
            session.caller,
            settings.messages_per_second,
            settings.account_messages_per_second,
            asyncio.get_running_loop().time,
        )
        self._released = asyncio.Event()  # another connection resumes the session
        self._stopped = asyncio.Event()  # this connection takes nothing more from the outbox
        self._closed = asyncio.Event()
        self._lost = True  # until either side closes it in an orderly way
        self._close_frame: CloseConnection | None = None

    async def serve(self) -> None:
        """Serve until either side ends the connection. The session then ends too, or waits to be resumed."""
        self._sessions.attach(self._session, self)
        try:
            await self._run()
        except Exception:
            log.exception("a session failed")
            self._lost, self._close_frame = False, CloseConnection(CloseCode.INTERNAL, "internal error")
        finally:
            self._stopped.set()
            resumable = self.resumable and (self._lost or self._released.is_set())
            self._sessions.detach(self._session, self, resumable)
            try:
                await self._close()
            finally:
                self._closed.set()

    async def release_session(self) -> None:
        """Stop serving the session, because another connection resumes it."""
        self._released.set()
        await self._stopped.wait()

    async def close_after_flush(self, code: CloseCode, reason: str) -> None:
        """Close after everything queued has been sent; abort if the peer does not read it in `CLOSE_TIMEOUT_S`."""
        self._session.outbox.put(CloseConnection(code, reason))
        try:
            async with asyncio.timeout(CLOSE_TIMEOUT_S):
                await self._closed.wait()
        except TimeoutError:
            self._transport.abort()

    async def _run(self) -> None:
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._send(), name="send")
                group.create_task(self._wait_for_release(), name="wait for release")
                for task in self._background():
                    group.create_task(task)
                await self._receive()
        except* (_ConnectionEnded, ConnectionError):
            pass

    async def _wait_for_release(self) -> None:
        await self._released.wait()
        self._end(CloseCode.MOVED, "another connection has resumed this session")

    # Its protocol

    @abstractmethod
    async def _handle(self, data: str | bytes, first: bool) -> None:
        """Take a message. `first`: of this connection. Raises `ProtocolError`; the connection continues."""

    @abstractmethod
    def _frames(self, event: messages.ServerEvent | Frame) -> Iterable[str | bytes]:
        """What is written for an event: text frames (str) and binary frames."""

    def _background(self) -> Iterable[Coroutine[None, None, None]]:
        """What else runs as long as the connection."""
        return ()

    # Receiving

    async def _receive(self) -> None:
        first = True
        while True:
            if not self._session.outbox.has_room:
                await self._session.outbox.wait_for_room()
            message = await self._next_message()
            try:
                await self._handle(message.data, first)
            except ProtocolError as error:
                self._session.reject(error)
            first = False
            await self._keep_budget()

    async def _next_message(self) -> WSMessage:
        """Raises `_ConnectionEnded` if the peer has closed the connection or it was lost."""
        limit_s = self._settings.session_idle_s
        while True:
            with suppress(TimeoutError):
                message = await self._socket.receive(timeout=limit_s)
                if message.type not in (WSMsgType.PING, WSMsgType.PONG):
                    break
                await self._answer_ping(message)
                continue
            if (idle_s := self._session.idle_s) is not None and idle_s >= limit_s:
                self._end(CloseCode.IDLE, f"the session was idle for {limit_s:g} s; connect again")
        if message.type in (WSMsgType.TEXT, WSMsgType.BINARY):
            return message
        invalid_frame = message.type is WSMsgType.ERROR and isinstance(message.data, WebSocketError)
        self._lost = message.type is not WSMsgType.CLOSE and not invalid_frame
        raise _ConnectionEnded

    async def _answer_ping(self, message: WSMessage) -> None:
        if message.type is WSMsgType.PING:
            await self._socket.pong(message.data)
        await self._keep_budget()

    async def _keep_budget(self) -> None:
        """Give way to other tasks after a message; to a client that sends too fast, pay attention later."""
        wait_s = self._budget.charge()
        if self._budget.warning_due():
            limit = (
                f"{self._settings.messages_per_second:g} per second, {self._settings.account_messages_per_second:g} "
            )
            self._session.reject(
                ProtocolError(
                    "rate_limited",
                    f"messages arrive faster than they are read ({limit}per key); send longer texts and fewer messages",
                    retry_after_ms=round(wait_s * 1000),
                )
            )
        await asyncio.sleep(wait_s)  # also if it is 0, so that a burst does not block the loop

    # Sending

    async def _send(self) -> None:
        outbox = self._session.outbox
        while True:
            out = await outbox.get()
            match out.event:
                case CloseConnection(code=code, reason=reason):
                    self._end(code, reason)
                case SwitchSession():
                    outbox = self._session.outbox
                case event:
                    if out.source is not None:
                        out.source.on_sent(out)
                    await self._write(event)

    async def _write(self, event: messages.ServerEvent | Frame) -> None:
        limit_s = self._settings.slow_consumer_s
        try:
            async with asyncio.timeout(limit_s):
                await self._write_frame(event)
        except TimeoutError:
            log.warning("a client read nothing for %g s; its session ends", limit_s)
            reason = f"the client read nothing for {limit_s:g} s"
            for last in self._session.abort("slow_consumer", f"{reason}; read faster"):
                await self._write_unread(last)
            self._end(CloseCode.SLOW_CONSUMER, reason)

    async def _write_frame(self, event: messages.ServerEvent | Frame) -> None:
        for data in self._frames(event):
            if isinstance(data, str):
                await self._socket.send_str(data)
            else:
                await self._socket.send_bytes(data)

    async def _write_unread(self, event: messages.ServerEvent | Frame) -> None:
        """Add an event to the write buffer without waiting for room: the peer may read that much before the end."""
        await self._run_as_task(self._write_frame(event), 0)

    # Closing

    def _end(self, code: int, reason: str) -> NoReturn:
        """End the connection from our side."""
        self._lost = False
        self._close_frame = CloseConnection(code, reason)
        raise _ConnectionEnded

    async def _close(self) -> None:
        frame = self._close_frame or CloseConnection(CloseCode.NORMAL, "")
        closing = self._socket.close(code=frame.code, message=frame.reason.encode())
        if not await self._run_as_task(closing, CLOSE_TIMEOUT_S):
            slow = frame.code == CloseCode.SLOW_CONSUMER
            limit_s = LINGER_S if slow else CLOSE_TIMEOUT_S
            asyncio.get_running_loop().call_later(limit_s, self._transport.abort)

    async def _run_as_task(self, sending: Coroutine[None, None, object], timeout_s: float) -> bool:
        """Returns whether `sending` has succeeded within this time.

        It needs a task of its own: once a wait for buffer room was cancelled, aiohttp cancels the next task that waits
        for it.
        """
        task = asyncio.create_task(sending)
        done, _ = await asyncio.wait([task], timeout=timeout_s)
        task.cancel()
        return bool(done) and not task.cancelled() and task.exception() is None

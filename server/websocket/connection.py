"""One WebSocket, as long as it lasts: what comes in is parsed and handed to its session, what that says goes out.

Knows the protocol and aiohttp's WebSocket; knows nothing of HTTP, keys or the engine.
"""

import asyncio
import logging
from collections.abc import Coroutine
from contextlib import suppress
from typing import NoReturn

from aiohttp import WebSocketError, WSMessage, WSMsgType, web

from sayline_tts.server.settings import Settings
from sayline_tts.server.websocket import protocol
from sayline_tts.server.websocket.outbox import Goodbye, Moved, Outgoing
from sayline_tts.server.websocket.protocol import CloseCode, Encoding, ProtocolError, Resume
from sayline_tts.server.websocket.session import Session
from sayline_tts.server.websocket.sessions import Sessions

log = logging.getLogger(__name__)

PATIENCE_S = 2.0  # with a peer who shall hear that the connection ends


class _Over(Exception):
    """One side of the connection has ended, so the other must."""


class Connection:
    """`transport` is cut where the peer does not take part in closing."""

    def __init__(
        self,
        socket: web.WebSocketResponse,
        transport: asyncio.WriteTransport,
        encoding: Encoding,
        session: Session,
        sessions: Sessions,
        settings: Settings,
    ) -> None:
        self._socket, self._transport, self._encoding = socket, transport, encoding
        self._session, self._sessions, self._settings = session, sessions, settings
        self._displaced = asyncio.Event()
        self._stopped = asyncio.Event()  # nothing is taken from the session's outbox any more
        self._closed = asyncio.Event()
        self._lost = True  # until somebody closes it
        self._farewell: Goodbye | None = None

    async def run(self, ready: protocol.Ready) -> None:
        """Until either side ends. Then the session ends too, or waits for its client to come back."""
        session = self._session
        session.greet(ready)
        self._sessions.attach(session, self)
        try:
            await self._run()
        except Exception:
            log.exception("a session failed")
            self._lost, self._farewell = False, Goodbye(CloseCode.INTERNAL, "internal error")
        finally:
            self._stopped.set()
            self._sessions.detach(self._session, self, self._lost or self._displaced.is_set())
            try:
                await self._close()
            finally:
                self._closed.set()

    async def displace(self) -> None:
        """Another connection takes the session. Returns when this one has let go of it."""
        self._displaced.set()
        await self._stopped.wait()

    async def go_away(self, code: CloseCode, reason: str) -> None:
        """Close when all that waits has been sent; a peer who does not read is cut off after `PATIENCE_S`."""
        self._session.outbox.put(Goodbye(code, reason))
        try:
            async with asyncio.timeout(PATIENCE_S):
                await self._closed.wait()
        except TimeoutError:
            self._transport.abort()

    async def _run(self) -> None:
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._send(), name="send")
                group.create_task(self._until_displaced(), name="displaced")
                await self._receive()
        except* (_Over, ConnectionError):
            pass

    async def _until_displaced(self) -> None:
        await self._displaced.wait()
        self._leave(CloseCode.MOVED, "another connection has resumed this session")

    # In

    async def _receive(self) -> None:
        fresh = True
        while True:
            await self._session.outbox.room()
            message = await self._next_message()
            try:
                parsed = protocol.parse(message.data, self._encoding)
                if isinstance(parsed, Resume):
                    await self._resume(parsed, fresh)
                else:
                    self._session.handle(parsed)
            except ProtocolError as error:
                self._session.refuse(error)
            fresh = False
            await asyncio.sleep(0)  # many messages at once must not keep the loop from the others

    async def _next_message(self) -> WSMessage:
        """Raises `_Over` when there is no other."""
        limit_s = self._settings.session_idle_s
        while True:
            with suppress(TimeoutError):
                message = await self._socket.receive(timeout=limit_s)
                break
            if (quiet_s := self._session.quiet_s) is not None and quiet_s >= limit_s:
                self._leave(CloseCode.IDLE, f"nothing was said for {limit_s:g} s; connect again")
        if message.type in (WSMsgType.TEXT, WSMsgType.BINARY):
            return message
        mistake = message.type is WSMsgType.ERROR and isinstance(message.data, WebSocketError)
        self._lost = message.type is not WSMsgType.CLOSE and not mistake
        raise _Over

    async def _resume(self, message: Resume, fresh: bool) -> None:
        if not fresh:
            raise ProtocolError("too_late", "resume has to be the first message of a connection; start contexts anew")
        own = self._session
        other = await self._sessions.take_over(message.token, own)
        if other is None:
            self._say_lost("no session that is left has this token")
            return
        taken = other.resume(message.contexts)
        if taken is None:
            self._sessions.discard(other)
            self._say_lost("more was missed than is kept")
            return
        other.outbox.put_back([Outgoing(protocol.Resumed(True, other.id, taken, "the session goes on"), None)])
        self._session = other
        self._sessions.attach(other, self)
        own.outbox.put(Moved())
        self._sessions.discard(own)
        log.info("it goes on with the session %s", other.id)

    def _say_lost(self, why: str) -> None:
        own = self._session
        own.outbox.put(protocol.Resumed(False, own.id, {}, f"{why}; start its contexts anew"))

    # Out

    async def _send(self) -> None:
        outbox = self._session.outbox
        while True:
            out = await outbox.get()
            match out.event:
                case Goodbye(code=code, reason=reason):
                    self._leave(code, reason)
                case Moved():
                    outbox = self._session.outbox
                case event:
                    self._session.on_leaving(out)
                    await self._write(event)

    async def _write(self, event: protocol.ServerEvent) -> None:
        limit_s = self._settings.slow_consumer_s
        try:
            async with asyncio.timeout(limit_s):
                await self._write_frame(event)
        except TimeoutError:
            log.warning("a peer read nothing for %g s", limit_s)
            for last in self._session.give_up("slow_consumer", f"nothing was read for {limit_s:g} s; read sooner"):
                await self._write_unread(last)
            self._leave(CloseCode.SLOW_CONSUMER, f"nothing was read for {limit_s:g} s")

    async def _write_frame(self, event: protocol.ServerEvent) -> None:
        data = protocol.serialize(event, self._encoding)
        if isinstance(data, str):
            await self._socket.send_str(data)
        else:
            await self._socket.send_bytes(data)

    async def _write_unread(self, event: protocol.ServerEvent) -> None:
        """Into the buffer, without waiting for room in it: the peer may read that much before the end."""
        await self._in_its_own_task(self._write_frame(event), 0)

    # The end

    def _leave(self, code: int, reason: str) -> NoReturn:
        """Ends the connection from our side."""
        self._lost = False
        self._farewell = Goodbye(code, reason)
        raise _Over

    async def _close(self) -> None:
        farewell = self._farewell or Goodbye(CloseCode.NORMAL, "")
        closing = self._socket.close(code=farewell.code, message=farewell.reason.encode())
        if not await self._in_its_own_task(closing, PATIENCE_S):
            asyncio.get_running_loop().call_later(PATIENCE_S, self._transport.abort)

    async def _in_its_own_task(self, sending: Coroutine[None, None, object], within_s: float) -> bool:
        """Was it sent? Once a wait for room was broken off, aiohttp cancels whoever waits for room in its place."""
        task = asyncio.create_task(sending)
        done, _ = await asyncio.wait([task], timeout=within_s)
        task.cancel()
        return bool(done) and not task.cancelled() and task.exception() is None

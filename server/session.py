"""One connection: what comes in is parsed and handed to its context, what the contexts say goes out in order.

Knows the protocol and aiohttp's WebSocket; knows nothing of HTTP, keys or the engine.
"""

import asyncio
import logging

from aiohttp import WSMsgType, web
from msgspec import UNSET

from server import protocol
from server.context import Context
from server.outbox import Goodbye, Outbox
from server.protocol import Cancel, Encoding, End, Flush, Played, ProtocolError, Start, Text
from server.settings import Settings
from server.worker import Worker

log = logging.getLogger(__name__)

PATIENCE_S = 2.0  # with a peer who shall hear that the server goes


class _Over(Exception):
    """One side of the connection has ended, so the other must."""


class Session:
    def __init__(
        self,
        socket: web.WebSocketResponse,
        transport: asyncio.WriteTransport,
        encoding: Encoding,
        worker: Worker,
        settings: Settings,
    ) -> None:
        self._socket, self._transport, self._encoding = socket, transport, encoding
        self._worker, self._settings = worker, settings
        self._outbox = Outbox()
        self._contexts: dict[str, Context] = {}
        self._group = asyncio.TaskGroup()
        self._ended = asyncio.Event()

    async def run(self, ready: protocol.Ready) -> None:
        """Until either side ends."""
        self._outbox.put(ready)
        try:
            async with self._group:
                self._group.create_task(self._send(), name="send")
                await self._receive()
        except* (_Over, ConnectionError):
            pass
        finally:
            for context in self._contexts.values():
                context.drop()
            self._contexts.clear()
            self._ended.set()

    async def go_away(self, code: int, reason: str) -> None:
        """End all contexts, then close; a peer who does not read is cut off after `PATIENCE_S`."""
        for context in list(self._contexts.values()):
            context.fail("shutting_down", f"{reason}; connect again")
        self._outbox.put(Goodbye(code, reason))
        try:
            async with asyncio.timeout(PATIENCE_S):
                await self._ended.wait()
        except TimeoutError:
            self._transport.abort()

    async def _receive(self) -> None:
        while True:
            await self._outbox.room()
            message = await self._socket.receive()
            if message.type not in (WSMsgType.TEXT, WSMsgType.BINARY):
                raise _Over
            try:
                self._handle(protocol.parse(message.data, self._encoding))
            except ProtocolError as error:
                self._refuse(error)
            await asyncio.sleep(0)  # many messages at once must not keep the loop from the others

    async def _send(self) -> None:
        while True:
            out = await self._outbox.get()
            if isinstance(out.event, Goodbye):
                await self._socket.close(code=out.event.code, message=out.event.reason.encode())
                raise _Over
            data = protocol.serialize(out.event, self._encoding)
            if isinstance(data, str):
                await self._socket.send_str(data)
            else:
                await self._socket.send_bytes(data)
            if isinstance(out.event, protocol.Audio) and out.owner is not None:
                out.owner.on_sent()

    def _handle(self, message: protocol.ClientMessage) -> None:
        if isinstance(message, Start):
            self._open(message)
            return
        context = self._contexts.get(message.context_id)
        if context is None and isinstance(message, Played):
            return  # the last of a context is heard when its last event is long said
        if context is None:
            told = f"there is no context {message.context_id!r}: it was never started, or is over"
            raise ProtocolError("unknown_context", told, message.context_id)
        match message:
            case Text(text=text):
                context.push(text)
            case Flush():
                context.flush()
            case End():
                context.end()
            case Cancel():
                context.cancel()
            case Played(played_ms=played_ms):
                context.played(played_ms)

    def _open(self, start: Start) -> None:
        """An id may be used again once its last event has been said."""
        if start.context_id in self._contexts:
            raise ProtocolError("context_exists", f"context {start.context_id!r} is open already", start.context_id)
        if len(self._contexts) >= self._settings.max_contexts:
            told = f"{len(self._contexts)} contexts are open in this session, and no more may be; end one first"
            raise ProtocolError("too_many_contexts", told, start.context_id, refused_start=True)
        context = Context(start, self._worker, self._outbox, self._settings, self._forget)
        self._contexts[context.id] = context
        self._group.create_task(context.open(), name=f"open {context.id}")

    def _refuse(self, error: ProtocolError) -> None:
        final = error.refused_start and error.context_id not in self._contexts
        context_id = UNSET if error.context_id is None else error.context_id
        self._outbox.put(protocol.Error(error.code, error.message, final, context_id))

    def _forget(self, context: Context) -> None:
        del self._contexts[context.id]

"""One connection of the HTTP server: time limits for requests, and the end of those whose body is not wanted.

aiohttp waits forever for the rest of a request's head, and after a response it reads on for the rest of the body, which
it would also inflate. Here a head has `HEAD_S`, and no byte of a body is parsed after its response.
"""

import asyncio
import logging
from collections.abc import Callable
from typing import Any, TypedDict

from aiohttp import web

from sayline_tts.server.network.masked_frames import FrameReader, MaskedFrames

log = logging.getLogger(__name__)

HEAD_S = 10.0  # from the connection, or from the first byte of a later request, to the end of the request's head
KEEP_ALIVE_S = 75.0  # without a request; longer than reverse proxies keep a connection
STALL_S = 60.0  # for a client that reads nothing of a response
# After a refusal, what the client has sent already is dropped for so long: closing at once would reset the connection,
# and some clients would lose the response.
LINGER_S = 1.0
LINGER_BYTES = 256 * 1024
TIMEOUT_RESPONSE = b"HTTP/1.1 408 Request Timeout\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"


class HandlerArgs(TypedDict):
    auto_decompress: bool
    lingering_time: float
    keepalive_timeout: float


# For `web.Application(handler_args=...)` and `HttpConnection`.
HANDLER_ARGS: HandlerArgs = {"auto_decompress": False, "lingering_time": 0.0, "keepalive_timeout": KEEP_ALIVE_S}


class HttpConnection(web.RequestHandler):
    """`on_change` is called with the connection whenever `idle` may have changed, and `on_lost` at its end."""

    def __init__(
        self,
        server: web.Server,
        network: str,
        on_change: Callable[["HttpConnection"], None],
        on_lost: Callable[["HttpConnection"], None],
    ) -> None:
        loop = asyncio.get_running_loop()
        super().__init__(server, loop=loop, access_log=None, **HANDLER_ARGS)  # type: ignore[arg-type]
        self.network = network  # of the client: connections are counted by it
        self._on_change, self._on_lost = on_change, on_lost
        self._busy = False  # a request is being served; a WebSocket is one that lasts
        self._is_websocket = False
        self._received = False  # part of a head
        self._timer: asyncio.TimerHandle | None = None  # for the head of the next request
        self._stall_timer: asyncio.TimerHandle | None = None
        self._unsent_bytes = 0  # when the timer was set
        self._dropped_bytes: int | None = None  # None: what arrives is parsed
        self._drop_done = asyncio.Event()

    @property
    def idle(self) -> bool:
        """Whether no request is being served."""
        return not self._busy

    async def serve(
        self, request: web.BaseRequest, handler: Callable[[Any], "asyncio.Future[Any] | Any"]
    ) -> web.StreamResponse:
        """Run the handler of a request and send its response."""
        self._start_request()
        try:
            return await self._respond(request, handler)
        except ConnectionError:
            if not self._is_gone:
                raise
            log.debug("a client has disconnected before the end of its response: %s", request.method)
            return web.Response()  # aiohttp finds the connection closed
        finally:
            self._end_request()

    def abort(self) -> None:
        """Disconnect at once."""
        if self.transport is not None:
            self.transport.abort()

    # Called by the transport and by aiohttp

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self._set_timer()
        self._on_change(self)

    def data_received(self, data: bytes) -> None:
        if self._dropped_bytes is not None:
            self._dropped_bytes += len(data)
            if self._dropped_bytes > LINGER_BYTES:
                self._drop_done.set()
            return
        if not self._busy and data:
            self._received = True
            if self._timer is None:
                self._set_timer()
        super().data_received(data)

    def eof_received(self) -> None:
        self._drop_done.set()
        super().eof_received()

    def pause_writing(self) -> None:
        super().pause_writing()
        if not self._is_websocket:  # its session has a limit of its own
            self._watch_stall()

    def resume_writing(self) -> None:
        super().resume_writing()
        _cancel(self._stall_timer)

    def set_parser(self, parser: Any, data_received_cb: Callable[[], None] | None = None) -> None:
        """Called when the connection becomes a WebSocket, with the reader of its frames."""
        self._is_websocket = True
        _cancel(self._stall_timer)
        reader: FrameReader = MaskedFrames(parser)
        super().set_parser(reader, data_received_cb)  # type: ignore[arg-type]

    def connection_lost(self, exc: BaseException | None) -> None:
        _cancel(self._timer)
        _cancel(self._stall_timer)
        self._drop_done.set()
        super().connection_lost(exc)
        self._on_lost(self)

    # Internals

    @property
    def _is_gone(self) -> bool:
        return self.transport is None or self.transport.is_closing()

    def _start_request(self) -> None:
        self._busy, self._received = True, False
        _cancel(self._timer)
        self._timer = None  # set again by the first byte of the next head
        self._on_change(self)

    def _end_request(self) -> None:
        self._busy = False
        self._on_change(self)

    async def _respond(self, request: web.BaseRequest, handler: Callable[[Any], Any]) -> web.StreamResponse:
        raised: web.HTTPException | None = None
        try:
            response: web.StreamResponse = await handler(request)
        except web.HTTPException as error:
            response = raised = error
        if isinstance(response, web.WebSocketResponse):
            return response
        is_unwanted = not request.content.is_eof()
        if is_unwanted:
            response.force_close()
        if isinstance(response, web.FileResponse):
            return response  # aiohttp sends it, and a file cannot be prepared twice
        await response.prepare(request)
        await response.write_eof()
        if is_unwanted:
            await self._linger()
        if raised is not None:
            raise raised
        return response

    async def _linger(self) -> None:
        """Let the client read the response before the connection is closed. Nothing that arrives is parsed."""
        self._dropped_bytes = 0
        if (transport := self.transport) is None:
            return
        if not transport.is_reading():
            transport.resume_reading()
        if transport.can_write_eof():
            transport.write_eof()
        try:
            async with asyncio.timeout(LINGER_S):
                await self._drop_done.wait()
        except TimeoutError:
            pass

    def _set_timer(self) -> None:
        self._timer = self._loop.call_later(HEAD_S, self._on_slow_head)

    def _on_slow_head(self) -> None:
        self._timer = None
        if self._received and self.transport is not None:
            self.transport.write(TIMEOUT_RESPONSE)
        self.force_close()

    def _watch_stall(self) -> None:
        assert self.transport is not None
        self._unsent_bytes = self.transport.get_write_buffer_size()
        self._stall_timer = self._loop.call_later(STALL_S, self._check_stall)

    def _check_stall(self) -> None:
        if self.transport is not None and self.transport.get_write_buffer_size() < self._unsent_bytes:
            self._watch_stall()  # slow, and not stalled
            return
        log.debug("a client read nothing of its response for %g s", STALL_S)
        self.abort()


def _cancel(timer: asyncio.TimerHandle | None) -> None:
    if timer is not None:
        timer.cancel()

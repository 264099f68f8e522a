"""Accepts connections, as many as descriptors allow in all and as one address may hold.

When no more fit, the connection that has been idle for longest makes room; without one, accepting pauses until a
connection ends. The operating system's queue holds those that wait.
"""

import asyncio
import logging
import math
import socket
import ssl
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass

from aiohttp import web

from sayline_tts.server.access.client_address import Network, client_network, is_trusted
from sayline_tts.server.network.descriptors import EXHAUSTED
from sayline_tts.server.network.http_connection import HEAD_S, HttpConnection

log = logging.getLogger(__name__)

BACKLOG = 1_024  # connections that the operating system keeps for us
RETRY_S = 1.0  # after an error that a new attempt does not mend at once
_REFUSAL_TEXT = b"too many connections from this address; close some, or retry later\n"
REFUSAL = (
    b"HTTP/1.1 429 Too Many Requests\r\nRetry-After: 5\r\nConnection: close\r\nContent-Type: text/plain\r\n"
    b"Content-Length: %d\r\n\r\n%s" % (len(_REFUSAL_TEXT), _REFUSAL_TEXT)
)


@dataclass(frozen=True)
class ConnectionLimits:
    """`total`: open connections. `per_address`: of those, from one client, except from `trusted` proxies."""

    total: int
    per_address: int
    trusted: Sequence[Network] = ()


class Acceptor:
    def __init__(
        self,
        server: web.Server,
        listener: socket.socket,
        limits: ConnectionLimits,
        ssl_context: ssl.SSLContext | None = None,
    ) -> None:
        """Takes over `server`, whose requests are then served with time limits, and `listener`."""
        self._server, self._listener, self._limits, self._ssl_context = server, listener, limits, ssl_context
        self._open: set[HttpConnection] = set()  # from being accepted to their end
        self._by_network: Counter[str] = Counter()
        self._idle: dict[HttpConnection, None] = {}  # in the order in which they became idle
        self._connecting: set[asyncio.Task[None]] = set()
        self._room = asyncio.Event()
        self._last_error = ""  # of accepting, until it works again
        self._logged_at_s = -math.inf
        self._task: asyncio.Task[None] | None = None
        handler: Callable[[web.BaseRequest], Awaitable[web.StreamResponse]] = server.request_handler

        async def serve(request: web.BaseRequest) -> web.StreamResponse:
            connection = request.protocol
            assert isinstance(connection, HttpConnection)
            return await connection.serve(request, handler)

        server.request_handler = serve

    def __len__(self) -> int:
        return len(self._open)

    @property
    def obstacle(self) -> str | None:
        """Why no connection can be accepted now."""
        if self._task is None or self._task.done():
            return "the server does not listen"
        if self._last_error:
            return f"cannot accept connections ({self._last_error})"
        if len(self) >= self._limits.total and not self._idle:
            return f"all {self._limits.total} connections are in use"
        return None

    def start(self) -> None:
        self._listener.setblocking(False)
        self._listener.listen(BACKLOG)
        self._task = asyncio.create_task(self._accept_all(), name="accept")

    async def stop(self) -> None:
        """Stop listening. Open connections continue, and so do TLS handshakes, which have their time limit."""
        assert self._task is not None
        self._task.cancel()
        await asyncio.wait([self._task])
        self._listener.close()

    async def _accept_all(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            # Without a descriptor accepting fails even if no client waits; no idle connection must be closed for that.
            await self._wait_for_client()
            try:
                accepted, address = await loop.sock_accept(self._listener)
            except OSError as error:
                await self._on_error(error)
                continue
            self._last_error = ""
            try:
                await self._wait_for_room()
            except asyncio.CancelledError:
                accepted.close()
                raise
            self._admit(accepted, str(address[0]) if isinstance(address, tuple) else "")
            await asyncio.sleep(0)  # so that a burst of connections does not block the loop

    async def _wait_for_client(self) -> None:
        loop, waits = asyncio.get_running_loop(), asyncio.Event()
        loop.add_reader(self._listener, waits.set)
        try:
            await waits.wait()
        finally:
            loop.remove_reader(self._listener)

    async def _wait_for_room(self) -> None:
        while len(self) >= self._limits.total:
            self._room.clear()
            self._close_idle(None)
            await self._room.wait()

    async def _on_error(self, error: OSError) -> None:
        """Wait before the next attempt if it could only fail again. Other errors concern one client, which has gone."""
        if error.errno not in EXHAUSTED:
            log.debug("a connection was lost while it was accepted (%s)", error.strerror)
            return
        self._on_exhausted(error.strerror or "no room")
        self._room.clear()
        self._close_idle(None)
        with suppress(TimeoutError):
            async with asyncio.timeout(RETRY_S):
                await self._room.wait()

    def _on_exhausted(self, reason: str) -> None:
        self._last_error = reason
        now_s = asyncio.get_running_loop().time()
        if now_s - self._logged_at_s >= RETRY_S:
            self._logged_at_s = now_s
            log.error("cannot accept connections (%s); raise the limit of file descriptors", reason)

    def _admit(self, accepted: socket.socket, address: str) -> None:
        network = client_network(address)
        is_over = self._by_network[network] >= self._limits.per_address and not is_trusted(
            address, self._limits.trusted
        )
        # Connections that have sent no request must not keep out others from the same address.
        if is_over and not self._close_idle(network):
            self._refuse(accepted)
            return
        connection = HttpConnection(self._server, network, self._on_change, self._on_lost)
        self._open.add(connection)
        self._by_network[network] += 1
        connecting = asyncio.create_task(self._connect(accepted, connection), name="connect")
        self._connecting.add(connecting)
        connecting.add_done_callback(self._connecting.discard)

    def _refuse(self, accepted: socket.socket) -> None:
        log.debug("a connection was refused: its address has %d", self._limits.per_address)
        with accepted, suppress(OSError):  # the client may have gone
            if self._ssl_context is None:
                accepted.send(REFUSAL)

    async def _connect(self, accepted: socket.socket, connection: HttpConnection) -> None:
        try:
            await asyncio.get_running_loop().connect_accepted_socket(
                lambda: connection,
                accepted,
                ssl=self._ssl_context,
                ssl_handshake_timeout=None if self._ssl_context is None else HEAD_S,
            )
        except OSError as error:  # the TLS handshake has failed or took too long
            log.debug("a connection was closed in its TLS handshake (%s)", type(error).__name__)
            self._on_lost(connection)

    def _close_idle(self, network: str | None) -> bool:
        """Close the connection that has been idle for longest, of this network or of all. False: there is none."""
        for connection in self._idle:
            if network in (None, connection.network):
                del self._idle[connection]
                connection.abort()
                return True
        return False

    def _on_change(self, connection: HttpConnection) -> None:
        self._idle.pop(connection, None)
        if connection.idle and connection.connected:
            self._idle[connection] = None
            self._room.set()

    def _on_lost(self, connection: HttpConnection) -> None:
        """Idempotent."""
        self._idle.pop(connection, None)
        if connection in self._open:
            self._open.remove(connection)
            self._by_network[connection.network] -= 1
            if not self._by_network[connection.network]:
                del self._by_network[connection.network]
            self._room.set()

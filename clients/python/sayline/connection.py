"""One WebSocket connection to a server: messages instead of frames, Sayline's errors instead of the library's."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

from websockets.asyncio.client import ClientConnection
from websockets.exceptions import ConnectionClosed

from sayline import wire
from sayline.errors import ConnectionLost, ProtocolError, Refused
from sayline.handshake import open_socket
from sayline.messages import ClientMessage, Error, Ready, Resumed, ServerMessage

Answer = TypeVar("Answer", Ready, Resumed)
ApiKey = str | Callable[[], str | Awaitable[str]]  # a function is called for each connection: a token expires


class Connection:
    """An open connection, made by `Address.connect`."""

    ready: Ready

    def __init__(self, socket: ClientConnection, address: "Address") -> None:
        self._socket = socket
        self._address = address

    async def expect(self, kind: type[Answer]) -> Answer:
        """Receive the next message, which must be of this kind. Raises `Refused`, `ProtocolError`."""
        url, timeout_s, wanted = self._address.url, self._address.timeout_s, kind.__name__.lower()
        try:
            async with asyncio.timeout(timeout_s):
                message = await self.receive()
        except TimeoutError as error:
            raise Refused(f"{url} sent no {wanted} message within {timeout_s:g} s: try again") from error
        except ConnectionLost as error:
            raise Refused(f"{url} closed the session immediately ({error}): try again") from error
        if isinstance(message, Error):
            raise Refused(f"{url} refused the session: {message.message}", message.retry_after_ms)
        if not isinstance(message, kind):
            raise ProtocolError(f"{url} sent {type(message).__name__.lower()} instead of {wanted}")
        return message

    async def receive(self) -> ServerMessage:
        """Receive a message. Raises `ConnectionLost` with the server's reason, `ProtocolError`."""
        try:
            return wire.decode(await self._socket.recv(), self._address.encoding)
        except ConnectionClosed as error:
            raise lost(error) from error

    async def send(self, message: ClientMessage) -> None:
        """Send a message. Raises `ConnectionLost`."""
        try:
            await self._socket.send(wire.encode(message, self._address.encoding))
        except ConnectionClosed as error:
            raise lost(error) from error

    async def close_for(self, reason: BaseException) -> None:
        """Close with the code that fits `reason`. Idempotent."""
        await self._socket.close(1002 if isinstance(reason, ProtocolError) else 1000)


class Address:
    """The server's address and how to connect to it."""

    def __init__(self, url: str, api_key: ApiKey | None, encoding: wire.Encoding, timeout_s: float) -> None:
        self.url, self.encoding, self.timeout_s = url, encoding, timeout_s
        self._api_key = api_key

    async def key(self) -> str | None:
        """The key or token to send now."""
        api_key = self._api_key() if callable(self._api_key) else self._api_key
        return await api_key if isinstance(api_key, Awaitable) else api_key

    async def connect(self, session_id: str | None = None) -> Connection:
        """Open a connection and receive `Ready`. Raises `Refused`, `ProtocolError`.

        `session_id`: of the session to resume, by which a load balancer finds its server.
        """
        socket = await open_socket(self.url, await self.key(), self.encoding, self.timeout_s, session_id)
        connection = Connection(socket, self)
        try:
            connection.ready = await connection.expect(Ready)
        except BaseException as error:
            await connection.close_for(error)
            raise
        return connection


def lost(error: ConnectionClosed) -> ConnectionLost:
    """Return why a socket closed: the server's reason, if it sent a close frame."""
    if error.rcvd is None:
        return ConnectionLost("without a close frame")
    return ConnectionLost(error.rcvd.reason or f"close code {error.rcvd.code}", error.rcvd.code)

"""One WebSocket to a server: messages instead of frames, and our errors instead of the library's. Knows no context."""

import asyncio
from typing import TypeVar

from websockets.asyncio.client import ClientConnection
from websockets.exceptions import ConnectionClosed

from sayline import wire
from sayline.errors import ConnectionLost, ProtocolError, Refused
from sayline.handshake import open_socket
from sayline.messages import ClientMessage, Error, Ready, Resumed, ServerMessage

Answer = TypeVar("Answer", Ready, Resumed)


class Connection:
    """Made by `Address.connect`, and open then."""

    ready: Ready

    def __init__(self, socket: ClientConnection, address: "Address") -> None:
        self._socket = socket
        self._address = address

    async def expect(self, kind: type[Answer]) -> Answer:
        """The next message, which must be this. Raises `Refused`, `ProtocolError`."""
        url, timeout_s, wanted = self._address.url, self._address.timeout_s, kind.__name__.lower()
        try:
            async with asyncio.timeout(timeout_s):
                message = await self.receive()
        except TimeoutError as error:
            raise Refused(f"{url} did not say that it is {wanted} within {timeout_s:g} s: try again") from error
        except ConnectionLost as error:
            raise Refused(f"{url} closed the session at once ({error}): try again") from error
        if isinstance(message, Error):
            raise Refused(f"{url} refused the session: {message.message}", message.retry_after_ms)
        if not isinstance(message, kind):
            raise ProtocolError(f"{url} said {type(message).__name__.lower()} instead of {wanted}")
        return message

    async def receive(self) -> ServerMessage:
        """Raises `ConnectionLost` with the server's reason alone, `ProtocolError`."""
        try:
            return wire.decode(await self._socket.recv(), self._address.encoding)
        except ConnectionClosed as error:
            raise lost(error) from error

    async def send(self, message: ClientMessage) -> None:
        """Raises `ConnectionLost`."""
        try:
            await self._socket.send(wire.encode(message, self._address.encoding))
        except ConnectionClosed as error:
            raise lost(error) from error

    async def close_for(self, reason: BaseException) -> None:
        """Twice is harmless."""
        await self._socket.close(1002 if isinstance(reason, ProtocolError) else 1000)


class Address:
    """Where the server is, and how it is spoken to there."""

    def __init__(self, url: str, api_key: str | None, encoding: wire.Encoding, timeout_s: float) -> None:
        self.url, self.encoding, self.timeout_s = url, encoding, timeout_s
        self._api_key = api_key

    async def connect(self) -> Connection:
        """Raises `Refused`, `ProtocolError`."""
        socket = await open_socket(self.url, self._api_key, self.encoding, self.timeout_s)
        connection = Connection(socket, self)
        try:
            connection.ready = await connection.expect(Ready)
        except BaseException as error:
            await connection.close_for(error)
            raise
        return connection


def lost(error: ConnectionClosed) -> ConnectionLost:
    """Why a socket closed, as the server put it. It may have broken without its word."""
    if error.rcvd is None:
        return ConnectionLost("without a word")
    return ConnectionLost(error.rcvd.reason or f"close code {error.rcvd.code}", error.rcvd.code)

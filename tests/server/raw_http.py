"""HTTP and WebSocket bytes as written, for requests that no client library would send."""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass

import pytest

HANDSHAKE = (
    "GET /v1/stream HTTP/1.1\r\nHost: {address}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
    "Sec-WebSocket-Protocol: sayline.v1.json\r\n\r\n"
)


@dataclass
class RawClient:
    address: str
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    async def send(self, data: bytes) -> None:
        with suppress(ConnectionError):  # the server may have closed it
            self.writer.write(data)
            await self.writer.drain()

    async def request(self, line: str, body: bytes = b"", /, **headers: str) -> None:
        """Send a request. `X_API_Key` is sent as X-API-Key; without a Content-Length, that of the body."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        sent = {"Host": self.address, "Content-Length": str(len(body)), **named}
        head = "".join(f"{name}: {value}\r\n" for name, value in sent.items())
        await self.send(f"{line} HTTP/1.1\r\n{head}\r\n".encode() + body)

    async def status(self) -> int:
        """Status of the next response. Its head is read, and the rest is not."""
        head = await self.reader.readuntil(b"\r\n\r\n")
        self.head = head.decode()
        return int(head.split()[1])

    async def rest(self) -> bytes:
        """Everything until the server closes the connection."""
        data = bytearray()
        with suppress(ConnectionError):
            while piece := await self.reader.read(65_536):
                data += piece
        return bytes(data)

    async def upgrade(self) -> None:
        await self.send(HANDSHAKE.format(address=self.address).encode())
        assert await self.status() == 101

    async def close_code(self) -> int | None:
        """Read frames until that of the close; its code, or None if there was none."""
        with suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                opcode, payload = await self.frame()
                if opcode == 8:
                    return int.from_bytes(payload[:2])
        return None

    async def frame(self) -> tuple[int, bytes]:
        """Opcode and payload of the next frame; the server masks none and splits no message."""
        head = await self.reader.readexactly(2)
        length = head[1]
        if length >= 126:
            length = int.from_bytes(await self.reader.readexactly(2 if length == 126 else 8))
        return head[0] & 0x0F, await self.reader.readexactly(length)

    def abort(self) -> None:
        self.writer.transport.abort()


@asynccontextmanager
async def raw_client(address: str) -> AsyncIterator[RawClient]:
    host, _, port = address.rpartition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    try:
        yield RawClient(address, reader, writer)
    finally:
        writer.transport.abort()


def frame(payload: bytes = b"", opcode: int = 1, masked: bool = True, first: int = 0x80, length: int = -1) -> bytes:
    """A client's WebSocket frame. `first`: FIN and reserved bits. `length`: what it claims."""
    count = len(payload) if length < 0 else length
    bit = 0x80 if masked else 0
    if count < 126:
        head = bytes([first | opcode, bit | count])
    else:
        size = 2 if count < 65_536 else 8
        head = bytes([first | opcode, bit | (126 if size == 2 else 127)]) + count.to_bytes(size)
    return head + (bytes(4) if masked else b"") + payload  # a mask of zeros changes nothing


def complaints(caplog: pytest.LogCaptureFixture) -> list[str]:
    """What the server has logged as warnings and errors; asyncio warns of steps that a busy machine makes slow."""
    records = (record for record in caplog.records if record.levelno > logging.INFO)
    return [each.getMessage() for each in records if each.name != "asyncio" or each.levelno > logging.WARNING]


async def until(condition: Callable[[], bool]) -> None:
    """Wait for what nothing announces, such as the state of a socket."""
    while not condition():  # noqa: ASYNC110
        await asyncio.sleep(0.01)

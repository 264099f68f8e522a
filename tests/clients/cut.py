"""A TCP proxy that cuts connections, within a message or between two."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass

PIECE_BYTES = 1024


@dataclass(frozen=True)
class Cut:
    """When so much has come from the server; or when the client has said so many messages, and the next is lost."""

    after_bytes: int | None = None
    after_heard: int | None = None
    after_said: int | None = None


class CutLine:
    """Each connection breaks as its cut says; the one behind the last of them holds. They go to the servers in turn."""

    def __init__(self, cuts: Sequence[Cut], *servers: str) -> None:
        self.connections = 0
        self._servers, self._cuts = servers, cuts

    @asynccontextmanager
    async def open(self) -> AsyncIterator[str]:
        """Gives the address of our end."""
        listening = await asyncio.start_server(self._carry, "127.0.0.1", 0)
        try:
            yield f"ws://127.0.0.1:{listening.sockets[0].getsockname()[1]}"
        finally:
            listening.close()
            await listening.wait_closed()

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        cut = self._cuts[self.connections] if self.connections < len(self._cuts) else Cut()
        host, _, port = self._servers[self.connections % len(self._servers)].rpartition(":")
        self.connections += 1
        up_reader, up_writer = await asyncio.open_connection(host, int(port))
        upwards = asyncio.create_task(copy(reader, up_writer, None, cut.after_said, True))
        downwards = asyncio.create_task(copy(up_reader, writer, cut.after_bytes, cut.after_heard, False))
        _, late = await asyncio.wait([upwards, downwards], return_when=asyncio.FIRST_COMPLETED)
        for task in late:
            task.cancel()
        await asyncio.wait([upwards, downwards])
        for end in (writer, up_writer):
            end.transport.abort()


async def copy(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, bytes_left: int | None, messages: int | None, lose: bool
) -> None:
    """Until there is no more, or so much of it was copied. `lose`: what comes next has to come before it is cut."""
    with suppress(ConnectionError, asyncio.IncompleteReadError):
        if messages is None:
            await copy_bytes(reader, writer, bytes_left)
        else:
            await copy_messages(reader, writer, messages)
            if lose:
                await read_frame(reader)


async def copy_bytes(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, left: int | None) -> None:
    while piece := await reader.read(PIECE_BYTES):
        writer.write(piece if left is None else piece[:left])
        await writer.drain()
        left = left if left is None else left - len(piece)
        if left is not None and left <= 0:
            return


async def copy_messages(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, left: int) -> None:
    """Behind the head of HTTP."""
    writer.write(await reader.readuntil(b"\r\n\r\n"))
    while left:
        frame = await read_frame(reader)
        writer.write(frame)
        await writer.drain()
        left -= frame[0] & 0x0F in (1, 2)  # neither a ping nor a close


async def read_frame(reader: asyncio.StreamReader) -> bytes:
    """One WebSocket frame as it is. Neither side cuts its messages into several."""
    head = await reader.readexactly(2)
    length_bytes = {126: 2, 127: 8}.get(head[1] & 0x7F, 0)
    length = await reader.readexactly(length_bytes)
    mask_bytes = 4 if head[1] & 0x80 else 0
    payload_bytes = int.from_bytes(length) if length_bytes else head[1] & 0x7F
    return head + length + await reader.readexactly(mask_bytes + payload_bytes)

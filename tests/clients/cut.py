"""A line to a server that is cut in the middle, on real sockets."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

PIECE_BYTES = 1024


class CutLine:
    """Each connection breaks when so many bytes have come from the server; the one behind the last of them holds."""

    def __init__(self, server: str, after_bytes: list[int]) -> None:
        self.connections = 0
        self._host, _, self._port = server.rpartition(":")
        self._after_bytes = after_bytes

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
        left = self._after_bytes[self.connections] if self.connections < len(self._after_bytes) else None
        self.connections += 1
        up_reader, up_writer = await asyncio.open_connection(self._host, int(self._port))
        upwards = asyncio.create_task(self._copy(reader, up_writer, None))
        downwards = asyncio.create_task(self._copy(up_reader, writer, left))
        _, late = await asyncio.wait([upwards, downwards], return_when=asyncio.FIRST_COMPLETED)
        for task in late:
            task.cancel()
        await asyncio.wait([upwards, downwards])
        for end in (writer, up_writer):
            end.transport.abort()

    async def _copy(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, left: int | None) -> None:
        with suppress(ConnectionError):
            while piece := await reader.read(PIECE_BYTES):
                writer.write(piece if left is None else piece[:left])
                await writer.drain()
                left = left if left is None else left - len(piece)
                if left is not None and left <= 0:
                    return

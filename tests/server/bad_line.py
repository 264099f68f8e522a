"""A TCP proxy that is slow, that slices, or that swallows everything: what networks do to a connection."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field

PIECE_BYTES = 1_024


@dataclass
class BadLine:
    """`slice_bytes`: size of the pieces that are passed on. `bits_per_second`: 0 is no limit. After `swallow` is set,
    nothing is passed on in either direction, and no end of a connection either."""

    server: str
    slice_bytes: int = PIECE_BYTES
    bits_per_second: float = 0
    swallow: asyncio.Event = field(default_factory=asyncio.Event)

    @asynccontextmanager
    async def open(self) -> AsyncIterator[str]:
        """Gives the address of the near end."""
        tasks: set[asyncio.Task[None]] = set()

        async def carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            task = asyncio.current_task()
            assert task is not None
            tasks.add(task)
            host, _, port = self.server.rpartition(":")
            up_reader, up_writer = await asyncio.open_connection(host, int(port))
            try:
                await asyncio.gather(self._copy(reader, up_writer), self._copy(up_reader, writer))
            finally:
                up_writer.transport.abort()
                writer.transport.abort()

        listening = await asyncio.start_server(carry, "127.0.0.1", 0)
        try:
            yield f"127.0.0.1:{listening.sockets[0].getsockname()[1]}"
        finally:
            listening.close()
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _copy(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError):
            while data := await reader.read(PIECE_BYTES):
                for at in range(0, len(data), self.slice_bytes):
                    if self.swallow.is_set():
                        await asyncio.Event().wait()
                    piece = data[at : at + self.slice_bytes]
                    writer.write(piece)
                    await writer.drain()
                    # At least one pass of the event loop, so that each slice is a segment of its own.
                    await asyncio.sleep(8 * len(piece) / self.bits_per_second if self.bits_per_second else 0)
        if self.swallow.is_set():
            await asyncio.Event().wait()
        writer.transport.abort()

"""A TCP proxy that stops forwarding without a word, in one or both directions, as a network does that is cut."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress


class BlackHole:
    """Connections that are there when it stops stay open and silent; later ones are not answered until it resumes."""

    def __init__(self, port: int) -> None:
        self._to_port, self.port = port, 0
        self._open = {"up": asyncio.Event(), "down": asyncio.Event()}
        self._writers: list[asyncio.StreamWriter] = []
        self.resume()

    def stop(self, *directions: str) -> None:
        """`up`: to the engine; `down`: from it."""
        for direction in directions:
            self._open[direction].clear()

    def resume(self) -> None:
        for direction in self._open.values():
            direction.set()

    @asynccontextmanager
    async def listening(self) -> AsyncIterator["BlackHole"]:
        server = await asyncio.start_server(self._carry, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        try:
            yield self
        finally:
            server.close()
            self.resume()
            for writer in self._writers:
                writer.transport.abort()
            await server.wait_closed()

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            up_reader, up_writer = await asyncio.open_connection("127.0.0.1", self._to_port)
            self._writers += [writer, up_writer]
            await asyncio.gather(self._copy("up", reader, up_writer), self._copy("down", up_reader, writer))

    async def _copy(self, direction: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while data := await reader.read(65_536):
                await self._open[direction].wait()
                writer.write(data)
        writer.transport.abort()

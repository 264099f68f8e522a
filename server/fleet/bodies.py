"""Read the messages of a connection, one after the other."""

import asyncio
from collections import deque

from sayline_tts.server.fleet.wire import Decoder

READ_BYTES = 256 * 1024


class Bodies:
    """The bodies of the messages of a stream, one after the other."""

    def __init__(self, reader: asyncio.StreamReader) -> None:
        self._reader, self._decoder = reader, Decoder()
        self._ready: deque[bytes] = deque()

    async def next(self) -> bytes:
        """Raises `OSError` at the end of the stream, `WireError`."""
        while not self._ready:
            data = await self._reader.read(READ_BYTES)
            if not data:
                raise ConnectionResetError("it has closed the connection")
            self._ready += self._decoder.feed(data)
        return self._ready.popleft()

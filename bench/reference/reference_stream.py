"""Streams from the reference server: form-encoded text in, a WAV streamed over HTTP out."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from urllib.parse import urlencode

from sayline_tts.bench.load.stream import Connection, Outcome, Stream

WAV_HEADER_BYTES = 44  # contains no audio
BYTES_PER_MS = 24_000 * 2 / 1000  # 16 bits, mono
LOST = (OSError, EOFError, ValueError)


@dataclass(frozen=True, slots=True)
class ReferenceServer:
    address: str  # host:port

    @asynccontextmanager
    async def connect(self) -> AsyncIterator[Connection]:
        yield ReferenceConnection(self.address)


class ReferenceConnection:
    """Opens one connection per request, before the text counts as sent."""

    def __init__(self, address: str) -> None:
        self._address = address

    async def speak(self, stream: Stream) -> None:
        host, _, port = self._address.rpartition(":")
        try:
            reader, writer = await asyncio.open_connection(host, int(port))
            try:
                writer.write(self._request(stream.request.text))
                await writer.drain()
                stream.on_sent()
                await self._listen(stream, reader)
            finally:
                writer.close()
                with suppress(OSError):
                    await writer.wait_closed()
        except LOST as error:
            stream.end(Outcome.FAILED, f"the connection was lost: {error!r}")

    def _request(self, text: str) -> bytes:
        body = urlencode({"text": text}).encode()
        head = (
            f"POST /tts HTTP/1.1\r\nHost: {self._address}\r\nConnection: close\r\n"
            f"Content-Type: application/x-www-form-urlencoded\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        return head.encode() + body

    async def _listen(self, stream: Stream, reader: asyncio.StreamReader) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        status = int(head.split()[1])
        if status != 200:
            stream.end(Outcome.REJECTED if status in (429, 503) else Outcome.FAILED, f"HTTP {status}")
            return
        heard_bytes = -WAV_HEADER_BYTES
        while size_bytes := int(await reader.readline(), 16):
            await reader.readexactly(size_bytes + 2)  # and the CRLF
            new_bytes = max(0, heard_bytes + size_bytes) - max(0, heard_bytes)
            heard_bytes += size_bytes
            if new_bytes:
                stream.on_audio(new_bytes / BYTES_PER_MS)
            if stream.is_satisfied:
                stream.end(Outcome.STOPPED)
                return
        stream.end(Outcome.SPOKEN)

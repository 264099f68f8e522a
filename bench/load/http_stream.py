"""Streams of servers that answer a POST with raw audio, chunk by chunk."""

import asyncio
from collections.abc import Callable
from contextlib import suppress

from sayline_tts.bench.load.stream import Outcome, Stream

BYTES_PER_MS = 24_000 * 2 / 1000  # 16 bits, mono
LOST = (OSError, EOFError, ValueError)


class HttpConnection:
    """Opens one connection per request, before the text counts as sent.

    `make_request` gets the text. `header_bytes`: of the body, which contain no audio.
    """

    def __init__(self, address: str, make_request: Callable[[str], bytes], header_bytes: int = 0) -> None:
        self._address, self._make_request, self._header_bytes = address, make_request, header_bytes

    async def speak(self, stream: Stream) -> None:
        host, _, port = self._address.rpartition(":")
        try:
            reader, writer = await asyncio.open_connection(host, int(port))
            try:
                writer.write(self._make_request(stream.request.text))
                await writer.drain()
                stream.on_sent()
                await self._listen(stream, reader)
            finally:
                writer.close()
                with suppress(OSError):
                    await writer.wait_closed()
        except LOST as error:
            stream.end(Outcome.FAILED, f"the connection was lost: {error!r}")

    async def _listen(self, stream: Stream, reader: asyncio.StreamReader) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        status = int(head.split()[1])
        if status != 200:
            stream.end(Outcome.REJECTED if status in (429, 503) else Outcome.FAILED, f"HTTP {status}")
            return
        heard_bytes = -self._header_bytes
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


def post(address: str, path: str, content_type: str, body: bytes, api_key: str | None = None) -> bytes:
    """A request, after whose answer the connection is closed."""
    key = f"Authorization: Bearer {api_key}\r\n" if api_key else ""
    head = (
        f"POST {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n{key}"
        f"Content-Type: {content_type}\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body

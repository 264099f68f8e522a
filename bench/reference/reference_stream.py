"""Streams from the reference server: form-encoded text in, a WAV streamed over HTTP out."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from urllib.parse import urlencode

from sayline_tts.bench.load.http_stream import HttpConnection, post
from sayline_tts.bench.load.stream import Connection

WAV_HEADER_BYTES = 44


@dataclass(frozen=True, slots=True)
class ReferenceServer:
    address: str  # host:port

    @asynccontextmanager
    async def connect(self) -> AsyncIterator[Connection]:
        yield HttpConnection(self.address, self._request, WAV_HEADER_BYTES)

    def _request(self, text: str) -> bytes:
        body = urlencode({"text": text}).encode()
        return post(self.address, "/tts", "application/x-www-form-urlencoded", body)

"""Trailers: header fields after a streamed body, whose values are not known before its end (RFC 9110, 6.5)."""

from collections.abc import Mapping, Sequence
from typing import Self

from aiohttp import hdrs, web
from aiohttp.abc import AbstractStreamWriter
from aiohttp.http_writer import StreamWriter


class Trailers:
    """The end of one chunked body. aiohttp writes none, so this takes over the last, empty chunk."""

    def __init__(self) -> None:
        self._writer: StreamWriter | None = None

    @classmethod
    def announce(cls, request: web.Request, response: web.StreamResponse, names: Sequence[str]) -> Self | None:
        """Name the trailers in the response's headers. None if the client has not asked for trailers."""
        wanted = {part.partition(";")[0].strip().lower() for part in request.headers.get(hdrs.TE, "").split(",")}
        if "trailers" not in wanted:
            return None
        response.headers[hdrs.TRAILER] = ", ".join(names)
        return cls()

    def attach(self, writer: AbstractStreamWriter | None) -> Self:
        """`writer`: what `StreamResponse.prepare` returns."""
        self._writer = writer if isinstance(writer, StreamWriter) and writer.chunked else None
        return self

    async def write(self, fields: Mapping[str, str]) -> None:
        """End the body. Nothing may be written after this. Without chunks (HTTP/1.0) nothing is sent."""
        if (writer := self._writer) is None:
            return
        lines = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
        writer.chunked = False  # the last chunk is written here, so aiohttp must not write it again
        await writer.write(f"0\r\n{lines}\r\n".encode())

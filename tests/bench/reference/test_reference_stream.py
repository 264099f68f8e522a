import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from urllib.parse import parse_qs

from sayline_tts.bench.load.stream import Outcome, Request, Stream
from sayline_tts.bench.reference.reference_stream import ReferenceServer

HEADER = bytes(44)
FRAME = bytes(1920 * 2)


@asynccontextmanager
async def peer(answer: bytes, asked: list[str]) -> AsyncIterator[ReferenceServer]:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        length = int(head.lower().split("content-length: ")[1].split()[0])
        asked.append(parse_qs((await reader.readexactly(length)).decode())["text"][0])
        writer.write(answer)
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        yield ReferenceServer(f"127.0.0.1:{server.sockets[0].getsockname()[1]}")


def chunked(*pieces: bytes, end: bool = True) -> bytes:
    parts = [b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces]
    return b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + b"".join(parts) + (b"0\r\n\r\n" if end else b"")


async def speak(answer: bytes, request: Request, asked: list[str] | None = None) -> Stream:
    stream = Stream(request, 0)
    async with peer(answer, [] if asked is None else asked) as server, server.connect() as connection:
        await connection.speak(stream)
    return stream


async def test_wav_header_is_not_counted_as_audio() -> None:
    asked: list[str] = []
    stream = await speak(chunked(HEADER[:10], HEADER[10:] + FRAME, FRAME), Request("Hello & bye."), asked)
    assert asked == ["Hello & bye."]
    assert stream.outcome is Outcome.SPOKEN
    assert stream.listener.received_ms == 160
    assert len(stream.listener.arrivals_ms) == 2


async def test_satisfied_stream_closes_the_connection() -> None:
    stream = await speak(chunked(HEADER, *[FRAME] * 10), Request("Hello.", stop_after_ms=160))
    assert (stream.outcome, stream.listener.received_ms) == (Outcome.STOPPED, 160)


async def test_truncated_response_is_a_failure() -> None:
    stream = await speak(chunked(HEADER, FRAME, end=False), Request("Hello."))
    assert stream.outcome is Outcome.FAILED


async def test_refused_request_is_reported() -> None:
    stream = await speak(b"HTTP/1.1 500 No\r\n\r\n", Request("Hello."))
    assert (stream.outcome, stream.error) == (Outcome.FAILED, "HTTP 500")

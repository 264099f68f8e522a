"""Scripted connections instead of a server."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from sayline_tts.bench.load.stream import Connect, Connection, Outcome, Request, Stream

Script = Callable[[Stream], Awaitable[None]]


class ScriptedConnection:
    def __init__(self, script: Script) -> None:
        self._script = script

    async def speak(self, stream: Stream) -> None:
        stream.on_sent()
        await self._script(stream)


def connects_to(script: Script) -> Connect:
    @asynccontextmanager
    async def connect() -> AsyncIterator[Connection]:
        yield ScriptedConnection(script)

    return connect


async def speaks(stream: Stream) -> None:
    """Sends 80 ms of audio for each word, all at once."""
    for _ in stream.request.text.split():
        stream.on_audio(80.0)
    stream.end(Outcome.SPOKEN)


async def stumbles(stream: Stream) -> None:
    """Sends the second packet late."""
    stream.on_audio(80.0)
    await asyncio.sleep(0.1)
    stream.on_audio(80.0)
    stream.end(Outcome.SPOKEN)


async def rejects(stream: Stream) -> None:
    stream.retry_after_ms = 10.0
    stream.end(Outcome.REJECTED, "full")


def served(arrivals_ms: list[float], sent_ms: float = 0.0, number: int = 0, over: bool = True) -> Stream:
    """Return a stream whose 80 ms packets arrived at these times."""
    stream = Stream(Request("hello"), number)
    stream.sent_ms = sent_ms
    for at_ms in arrivals_ms:
        stream.listener.on_audio(at_ms, 80.0)
    stream.answered.set()
    if over:
        stream.end(Outcome.SPOKEN)
    return stream

"""Streams without a server: what carries them is a script."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from sayline_tts.bench.load.stream import Connect, Connection, Outcome, Stream, Wish

Script = Callable[[Stream], Awaitable[None]]


class ScriptedConnection:
    def __init__(self, script: Script) -> None:
        self._script = script

    async def speak(self, stream: Stream) -> None:
        stream.on_asked()
        await self._script(stream)


def connects_to(script: Script) -> Connect:
    @asynccontextmanager
    async def connect() -> AsyncIterator[Connection]:
        yield ScriptedConnection(script)

    return connect


async def speaks(stream: Stream) -> None:
    """80 ms for each word, all at once."""
    for _ in stream.wish.text.split():
        stream.on_audio(80.0)
    stream.end(Outcome.SPOKEN)


async def stumbles(stream: Stream) -> None:
    """The second packet is late."""
    stream.on_audio(80.0)
    await asyncio.sleep(0.1)
    stream.on_audio(80.0)
    stream.end(Outcome.SPOKEN)


async def rejects(stream: Stream) -> None:
    stream.retry_after_ms = 10.0
    stream.end(Outcome.REJECTED, "full")


def heard(arrivals_ms: list[float], asked_ms: float = 0.0, number: int = 0, over: bool = True) -> Stream:
    """A stream whose packets of 80 ms came at these times."""
    stream = Stream(Wish("hello"), number)
    stream.asked_ms = asked_ms
    for at_ms in arrivals_ms:
        stream.listener.on_audio(at_ms, 80.0)
    stream.answered.set()
    if over:
        stream.end(Outcome.SPOKEN)
    return stream

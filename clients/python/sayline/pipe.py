"""`sayline pipe`: text from standard input to a server, its speech to a sink, both at once. Knows no command line."""

import asyncio
import signal
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from typing import TypeVar

from sayline.client import connect
from sayline.context import Context
from sayline.errors import SaylineError
from sayline.frame import Frame
from sayline.messages import Segment
from sayline.sinks import Sink, SinkError
from sayline.stopwatch import Stopwatch
from sayline.text_input import TextInput

Argument = TypeVar("Argument")
FILE_LEAD_MS = 60_000  # a file is not listened to while it is made: let the server run
REPORT_EVERY_MS = 1000.0  # how much is heard before the server is told again


class NothingToSay(SaylineError):
    """The text had no word in it."""


@dataclass(frozen=True, slots=True)
class Request:
    """What to ask of which server. None is the server's choice."""

    url: str
    api_key: str | None = None
    voice: str | None = None
    language: str | None = None
    speed: float | None = None
    seed: int | None = None
    temperature: float | None = None
    max_lead_ms: float | None = None


class Pipe:
    """One run. What it counted can be read afterwards, however it ended."""

    def __init__(self, request: Request, text: TextInput, sink: Sink) -> None:
        self.stopwatch = Stopwatch()
        self.text = text
        self._request = request
        self._sink = sink
        self._opened = False
        self._reported_ms = 0.0
        self._sink_thread = ThreadPoolExecutor(1)  # one, so that nothing is closed while it is written to

    async def run(self) -> None:
        """Raises `SaylineError`, after everything that had come was handed to the sink; cancelling does the same."""
        heard_all = False
        stop_on_sigterm()
        try:
            await self._speak()
            heard_all = True
        finally:
            await self._do(self._sink.close, not heard_all)
            self._sink_thread.shutdown(wait=False)

    async def _speak(self) -> None:
        request = self._request
        async with connect(request.url, request.api_key) as server:
            speech = server.context(
                request.voice,
                language=request.language,
                speed=request.speed,
                seed=request.seed,
                temperature=request.temperature,
                max_lead_ms=request.max_lead_ms,
            )
            async with speech:
                speech.feed(self._words())
                await self._listen(speech, server.ready.sample_rate_hz)

    async def _listen(self, speech: Context, sample_rate_hz: int) -> None:
        async for event in speech:
            match event:
                case Frame():
                    self.stopwatch.heard(len(event.pcm) / 2 * 1000 / sample_rate_hz)
                    await self._write(event.pcm, sample_rate_hz)
                    await self._report(speech)
                case Segment():
                    self.stopwatch.segment(event.end_char)
                case _:
                    pass

    async def _report(self, speech: Context) -> None:
        played_ms = self._sink.played_ms
        if played_ms is not None and played_ms >= self._reported_ms + REPORT_EVERY_MS:
            self._reported_ms = played_ms
            await speech.ack(played_ms)

    async def _words(self) -> AsyncIterator[str]:
        blank = True
        async for piece in self.text:
            blank = blank and not piece.strip()
            self.stopwatch.sent(piece)
            yield piece
        if blank:
            raise NothingToSay("nothing to say: no text on standard input, try: echo 'Hello there.' | sayline pipe")

    async def _write(self, pcm: bytes, sample_rate_hz: int) -> None:
        try:
            if not self._opened:
                await self._do(self._sink.open, sample_rate_hz)
                self._opened = True
            await self._do(self._sink.write, pcm)
        except BrokenPipeError as error:
            raise SinkError("the program that the speech went to has stopped reading") from error
        except OSError as error:
            raise SinkError(f"could not write to {self._sink.name}: {error.strerror or error}") from error

    async def _do(self, call: Callable[[Argument], None], argument: Argument) -> None:
        await asyncio.get_running_loop().run_in_executor(self._sink_thread, call, argument)


def stop_on_sigterm() -> None:
    """Being told to stop ends like Ctrl-C: with a whole file."""
    task = asyncio.current_task()
    assert task is not None
    with suppress(NotImplementedError):  # Windows has no such signal
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)

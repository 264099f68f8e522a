"""Stream text to a server and its speech to a sink: the work of `sayline pipe` and `sayline speak`."""

import asyncio
import signal
from collections.abc import AsyncIterable, AsyncIterator
from contextlib import suppress
from dataclasses import dataclass

from sayline.client import connect
from sayline.errors import SaylineError
from sayline.frame import Frame
from sayline.inbox import Event
from sayline.messages import Segment
from sayline.sinks import Sink
from sayline.stopwatch import Stopwatch


class NothingToSay(SaylineError):
    """The text contained no words."""


@dataclass(frozen=True, slots=True)
class Request:
    """Server and options. None means the server's default."""

    url: str
    api_key: str | None = None
    voice: str | None = None
    language: str | None = None
    speed: float | None = None
    seed: int | None = None
    temperature: float | None = None
    decode_steps: int | None = None
    lookahead_words: int | None = None


class Pipe:
    """One run. Its stopwatch can be read afterwards, however it ended."""

    def __init__(self, request: Request, text: AsyncIterable[str], sink: Sink) -> None:
        self.stopwatch = Stopwatch()
        self._request = request
        self._text = text
        self._sink = sink
        self._frame_ms = 0.0

    async def run(self) -> None:
        """Run to the end. On `SaylineError` or cancellation, audio received so far has been passed to the sink."""
        stop_on_sigterm()
        request, sink = self._request, self._sink
        async with connect(request.url, request.api_key) as server:
            self._frame_ms = server.ready.frame_ms
            speech = server.context(
                request.voice,
                format=sink.format,
                language=request.language,
                speed=request.speed,
                seed=request.seed,
                temperature=request.temperature,
                decode_steps=request.decode_steps,
                lookahead_words=request.lookahead_words,
                max_lead_ms=sink.max_lead_ms,
            )
            async with speech:
                speech.feed(self._words())
                await sink.take(speech, self._watch)

    def _watch(self, event: Event) -> None:
        match event:
            case Frame():
                self.stopwatch.received(self._frame_ms)
            case Segment():
                self.stopwatch.segment(event.end_char)
            case _:
                pass

    async def _words(self) -> AsyncIterator[str]:
        blank = True
        async for piece in self._text:
            blank = blank and not piece.strip()
            self.stopwatch.sent(piece)
            yield piece
        if blank:
            raise NothingToSay("nothing to say: the text is empty; try: sayline speak 'Hello there.'")


def stop_on_sigterm() -> None:
    """Handle SIGTERM like Ctrl-C, so that output files are complete."""
    task = asyncio.current_task()
    assert task is not None
    with suppress(NotImplementedError):  # not available on Windows
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)

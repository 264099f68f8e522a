"""Listeners who come to a server: so many at once, text after text, or by chance at a given rate, whoever is there.

The second is an open loop: a server that is slow is not spared the next arrival.
"""

import asyncio
import itertools
import random
from collections.abc import Iterator
from contextlib import suppress
from types import TracebackType
from typing import Self

from sayline_tts.bench.load.measurement import Measurement, Window
from sayline_tts.bench.load.process import Meter
from sayline_tts.bench.load.stream import Connect, Lost, Outcome, Stream, Wish, now_ms
from sayline_tts.bench.load.texts import Texts

LAG_EVERY_S = 0.05
PATIENCE_S = 10.0  # with a server that has not begun to answer when the time is over


class Crowd:
    """Use with `async with`; leaving it hangs all of them up."""

    def __init__(self, connect: Connect, texts: Texts, seed: int = 0) -> None:
        self._connect, self._texts, self._rng = connect, texts, random.Random(seed)
        self._streams: list[Stream] = []
        self._refusals: list[str] = []  # connections that never came about
        self._lags_ms: list[float] = []
        self._numbers: Iterator[int] = itertools.count()
        self._group = asyncio.TaskGroup()
        self._tasks: list[asyncio.Task[None]] = []
        self._closing = False
        self._ran_dry = asyncio.Event()

    async def __aenter__(self) -> Self:
        await self._group.__aenter__()
        self._start(self._watch_own_lag())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for task in self._tasks:
            task.cancel()
        await self._group.__aexit__(kind, error, trace)

    def add(self, listeners: int, within_s: float) -> None:
        """Listeners who begin by and by and then hear text after text, so that all the time so many listen."""
        for number in range(listeners):
            self._start(self._stay((number + self._rng.random()) * within_s / listeners))

    def open_doors(self, rate_hz: float) -> None:
        """From now on somebody comes for one text, so often on average, independently of who is there."""
        self._start(self._arrive(rate_hz))

    async def measure(self, seconds: float, meter: Meter, listeners: float, until_dry: bool = False) -> Measurement:
        """What those who are there see in so many seconds; with `until_dry` the first underrun ends it.

        After this nobody begins a new text.
        """
        before, start_ms = meter.read(), now_ms()
        self._ran_dry.clear()
        self._lags_ms.clear()
        waiting = asyncio.create_task(self._ran_dry.wait() if until_dry else asyncio.sleep(seconds))
        await asyncio.wait([waiting], timeout=seconds)
        waiting.cancel()
        window = Window(start_ms, now_ms())
        used = meter.read() - before
        self._closing = True
        for stream in self._streams:
            if stream.outcome is Outcome.OPEN:
                stream.listener.cut(window.end_ms)
        if not self._ran_dry.is_set():
            await self._hear_pending(window)
        return Measurement.of(self._streams, self._refusals, window, listeners, used, self._lags_ms)

    async def _hear_pending(self, window: Window) -> None:
        """Those who asked and have heard nothing are not forgotten: they would have been the slowest."""
        pending = [s.answered.wait() for s in self._streams if s.asked_ms is not None and not s.answered.is_set()]
        with suppress(TimeoutError):
            await asyncio.wait_for(asyncio.gather(*pending), PATIENCE_S)

    async def _stay(self, delay_s: float) -> None:
        await asyncio.sleep(delay_s)
        number = next(self._numbers)
        try:
            async with self._connect() as connection:
                while not self._closing:
                    stream = self._begin(number)
                    await connection.speak(stream)
                    if stream.outcome is Outcome.FAILED:
                        return
                    await self._hear_out(stream)
        except Lost as error:
            self._refusals.append(str(error))

    async def _arrive(self, rate_hz: float) -> None:
        due_ms = now_ms()
        while not self._closing:
            due_ms += self._rng.expovariate(rate_hz) * 1000
            await asyncio.sleep((due_ms - now_ms()) / 1000)
            self._start(self._visit())

    async def _visit(self) -> None:
        number = next(self._numbers)
        try:
            async with self._connect() as connection:
                if not self._closing:
                    await connection.speak(self._begin(number))
        except Lost as error:
            self._refusals.append(str(error))

    def _begin(self, number: int) -> Stream:
        stream = Stream(Wish(self._texts.draw(self._rng)), number, on_late=lambda stream: self._ran_dry.set())
        self._streams.append(stream)
        return stream

    async def _hear_out(self, stream: Stream) -> None:
        """The next text comes when this one has been heard, not when it has been made."""
        if stream.outcome is Outcome.REJECTED:
            await asyncio.sleep(stream.retry_after_ms / 1000)
        else:
            await asyncio.sleep((stream.listener.plays_until_ms - now_ms()) / 1000)

    async def _watch_own_lag(self) -> None:
        """How late this process itself is: what it adds to every time that it takes."""
        while True:
            due_ms = now_ms() + LAG_EVERY_S * 1000
            await asyncio.sleep(LAG_EVERY_S)
            self._lags_ms.append(now_ms() - due_ms)

    def _start(self, work: "asyncio._CoroutineLike[None]") -> None:
        self._tasks.append(self._group.create_task(work))

"""Generate load: a fixed number of listeners with one text after another (closed loop), or Poisson arrivals (open).

In the open loop a slow server is not spared the next arrival.
"""

import asyncio
import itertools
import random
from collections.abc import Iterator
from contextlib import suppress
from types import TracebackType
from typing import Self

from sayline_tts.bench.load.measurement import Measurement, Window
from sayline_tts.bench.load.process import CpuMeter
from sayline_tts.bench.load.stream import Connect, ConnectionLost, Outcome, Request, Stream, now_ms
from sayline_tts.bench.load.texts import Texts

LAG_EVERY_S = 0.05
PATIENCE_S = 10.0  # how long to wait for first audio after the window


class LoadGenerator:
    """Use with `async with`; leaving it closes all connections."""

    def __init__(self, connect: Connect, texts: Texts, seed: int = 0) -> None:
        self._connect, self._texts, self._rng = connect, texts, random.Random(seed)
        self._streams: list[Stream] = []
        self._refusals: list[str] = []  # connections that could not be opened
        self._lags_ms: list[float] = []
        self._numbers: Iterator[int] = itertools.count()
        self._group = asyncio.TaskGroup()
        self._tasks: list[asyncio.Task[None]] = []
        self._stopping = False
        self._underrun_seen = asyncio.Event()

    async def __aenter__(self) -> Self:
        await self._group.__aenter__()
        self._start(self._measure_own_lag())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for task in self._tasks:
            task.cancel()
        await self._group.__aexit__(kind, error, trace)

    def add(self, listeners: int, within_s: float) -> None:
        """Start listeners, spread over `within_s`; each requests its next text when it has played the previous one."""
        for number in range(listeners):
            self._start(self._run_listener((number + self._rng.random()) * within_s / listeners))

    def start_arrivals(self, rate_hz: float) -> None:
        """Start Poisson arrivals of listeners with one text each, independent of how many are active."""
        self._start(self._run_arrivals(rate_hz))

    async def measure(
        self, seconds: float, meter: CpuMeter, listeners: float, until_underrun: bool = False
    ) -> Measurement:
        """What those who are there see in so many seconds; with `until_dry` the first underrun ends it.

        After this nobody begins a new text.
        """
        before, start_ms = meter.read(), now_ms()
        self._underrun_seen.clear()
        self._lags_ms.clear()
        waiting = asyncio.create_task(self._underrun_seen.wait() if until_underrun else asyncio.sleep(seconds))
        await asyncio.wait([waiting], timeout=seconds)
        waiting.cancel()
        window = Window(start_ms, now_ms())
        used = meter.read() - before
        self._stopping = True
        for stream in self._streams:
            if stream.outcome is Outcome.OPEN:
                stream.listener.cut(window.end_ms)
        if not self._underrun_seen.is_set():
            await self._await_pending(window)
        return Measurement.of(self._streams, self._refusals, window, listeners, used, self._lags_ms)

    async def _await_pending(self, window: Window) -> None:
        """Wait for first audio of pending requests: leaving them out would drop the slowest."""
        pending = [s.answered.wait() for s in self._streams if s.sent_ms is not None and not s.answered.is_set()]
        with suppress(TimeoutError):
            await asyncio.wait_for(asyncio.gather(*pending), PATIENCE_S)

    async def _run_listener(self, delay_s: float) -> None:
        await asyncio.sleep(delay_s)
        number = next(self._numbers)
        try:
            async with self._connect() as connection:
                while not self._stopping:
                    stream = self._begin(number)
                    await connection.speak(stream)
                    if stream.outcome is Outcome.FAILED:
                        return
                    await self._wait_until_played(stream)
        except ConnectionLost as error:
            self._refusals.append(str(error))

    async def _run_arrivals(self, rate_hz: float) -> None:
        due_ms = now_ms()
        while not self._stopping:
            due_ms += self._rng.expovariate(rate_hz) * 1000
            await asyncio.sleep((due_ms - now_ms()) / 1000)
            self._start(self._run_single())

    async def _run_single(self) -> None:
        number = next(self._numbers)
        try:
            async with self._connect() as connection:
                if not self._stopping:
                    await connection.speak(self._begin(number))
        except ConnectionLost as error:
            self._refusals.append(str(error))

    def _begin(self, number: int) -> Stream:
        stream = Stream(Request(self._texts.draw(self._rng)), number, on_late=lambda stream: self._underrun_seen.set())
        self._streams.append(stream)
        return stream

    async def _wait_until_played(self, stream: Stream) -> None:
        """Wait until this text has been played, not just received."""
        if stream.outcome is Outcome.REJECTED:
            await asyncio.sleep(stream.retry_after_ms / 1000)
        else:
            await asyncio.sleep((stream.listener.plays_until_ms - now_ms()) / 1000)

    async def _measure_own_lag(self) -> None:
        """Record this process's own scheduling delay, which adds to every measured time."""
        while True:
            due_ms = now_ms() + LAG_EVERY_S * 1000
            await asyncio.sleep(LAG_EVERY_S)
            self._lags_ms.append(now_ms() - due_ms)

    def _start(self, work: "asyncio._CoroutineLike[None]") -> None:
        self._tasks.append(self._group.create_task(work))

"""Search for the largest number of concurrent listeners that a server sustains."""

import asyncio
from collections.abc import Awaitable, Callable

from sayline_tts.bench.load.load_generator import LoadGenerator
from sayline_tts.bench.load.measurement import Measurement
from sayline_tts.bench.load.process import CpuMeter
from sayline_tts.bench.load.stream import Connect
from sayline_tts.bench.load.texts import Texts
from sayline_tts.bench.report.config import BenchConfig
from sayline_tts.bench.report.report import CapacityResult

Holds = Callable[[int], Awaitable[bool]]

RESOLUTION = 0.03  # of the result, relative; runs differ by more


class CapacitySearch:
    """Measures load levels and keeps every probe for the result."""

    def __init__(
        self,
        bench_config: BenchConfig,
        connect: Connect,
        meter: CpuMeter,
        texts: Texts,
        report_progress: Callable[[str], None],
    ) -> None:
        self._config, self._connect, self._meter, self._texts = bench_config, connect, meter, texts
        self._report_progress = report_progress
        self._probes: list[Measurement] = []
        self._seed = 0

    async def estimate(self, guess: int) -> int:
        """Estimate the maximum by bisection, probing each level for a quarter of the time."""
        return await find_most(self._holds_briefly, guess, self._config.size.most_listeners)

    async def run(self, guess: int) -> CapacityResult:
        """Find the maximum from a good guess, probing each level for the full time."""
        most = await confirm_most(self._holds, guess, self._config.size.most_listeners)
        return self._result(most)

    async def hold(self, listeners: int) -> CapacityResult:
        """Measure this level for the full time, even after an underrun."""
        seen = await self._probe(listeners, self._config.size.seconds, until_underrun=False)
        ramp = self._result(listeners if seen.holds(self._config.ttfa_target_ms) else 0)
        return CapacityResult(ramp.listeners, seen, ramp.probes)

    async def _holds_briefly(self, listeners: int) -> bool:
        seen = await self._probe(listeners, max(self._config.size.seconds / 4, 1.0), until_underrun=True)
        return seen.holds(self._config.ttfa_target_ms)

    async def _holds(self, listeners: int) -> bool:
        seen = await self._probe(listeners, self._config.size.seconds, until_underrun=True)
        return seen.holds(self._config.ttfa_target_ms)

    async def _probe(self, listeners: int, seconds: float, until_underrun: bool) -> Measurement:
        """Measure one load level; the window begins when all listeners are active."""
        self._seed += 1
        async with LoadGenerator(self._connect, self._texts, self._seed) as generator:
            generator.add(listeners, within_s=self._texts.mean_s)
            await asyncio.sleep(self._texts.mean_s + 1)
            seen = await generator.measure(seconds, self._meter, listeners, until_underrun)
        verdict = "holds" if seen.holds(self._config.ttfa_target_ms) else "overloaded"
        self._report_progress(f"{listeners} listeners, {seen.seconds:.0f} s: {verdict}; {seen.summary()}")
        self._probes.append(seen)
        return seen

    def _result(self, listeners: int) -> CapacityResult:
        probes, self._probes = tuple(self._probes), []
        best = [probe for probe in probes if probe.listeners == listeners]
        return CapacityResult(listeners, best[-1] if best else None, probes)


async def find_most(holds: Holds, guess: int, most: int) -> int:
    """Return the largest number that holds, within `RESOLUTION`, or 0. Probes no number twice."""
    good, bad = 0, most + 1
    listeners = min(max(guess, 1), most)
    while bad - good > step(good):
        if await holds(listeners):
            good = listeners
        else:
            bad = listeners
        if good == 0:
            listeners = bad // 2
        elif bad > most:
            listeners = min(most, max(good + 1, good * 3 // 2))
        else:
            listeners = (good + bad) // 2
    return good


async def confirm_most(holds: Holds, guess: int, most: int) -> int:
    """Return the largest number that holds, searching step by step from a good guess."""
    listeners = min(guess, most)
    if listeners > 0 and await holds(listeners):
        while listeners < most and await holds(min(listeners + step(listeners), most)):
            listeners = min(listeners + step(listeners), most)
        return listeners
    while listeners > 0:
        listeners = max(listeners - step(listeners), 0)
        if listeners and await holds(listeners):
            return listeners
    return 0


def step(listeners: int) -> int:
    return max(1, int(listeners * RESOLUTION))

"""The search for the most listeners: a crowd of so many, is it served? The answers are kept."""

import asyncio
from collections.abc import Callable

from sayline_tts.bench.load.load_generator import Crowd
from sayline_tts.bench.load.measurement import Measurement
from sayline_tts.bench.load.process import Meter
from sayline_tts.bench.load.stream import Connect
from sayline_tts.bench.load.texts import Texts
from sayline_tts.bench.reference.ramp import confirm_most, find_most
from sayline_tts.bench.report.config import Goal
from sayline_tts.bench.report.report import Ramp


class Search:
    def __init__(self, goal: Goal, connect: Connect, meter: Meter, texts: Texts, tell: Callable[[str], None]) -> None:
        self._goal, self._connect, self._meter, self._texts, self._tell = goal, connect, meter, texts, tell
        self._probes: list[Measurement] = []
        self._seed = 0

    async def first_look(self, guess: int) -> int:
        """Near the most listeners: each number is looked at for a quarter of the time only."""
        return await find_most(self._looks_good, guess, self._goal.size.most_listeners)

    async def run(self, guess: int) -> Ramp:
        """The most listeners, each number for the whole time."""
        most = await confirm_most(self._holds, guess, self._goal.size.most_listeners)
        return self._result(most)

    async def hold(self, listeners: int) -> Ramp:
        """This number and no other, for the whole time, whatever happens."""
        seen = await self._probe(listeners, self._goal.size.seconds, until_dry=False)
        ramp = self._result(listeners if seen.holds(self._goal.ttfa_target_ms) else 0)
        return Ramp(ramp.listeners, seen, ramp.probes)

    async def _looks_good(self, listeners: int) -> bool:
        seen = await self._probe(listeners, max(self._goal.size.seconds / 4, 1.0), until_dry=True)
        return seen.holds(self._goal.ttfa_target_ms)

    async def _holds(self, listeners: int) -> bool:
        seen = await self._probe(listeners, self._goal.size.seconds, until_dry=True)
        return seen.holds(self._goal.ttfa_target_ms)

    async def _probe(self, listeners: int, seconds: float, until_dry: bool) -> Measurement:
        """So many at once, who are all there when the time begins."""
        self._seed += 1
        async with Crowd(self._connect, self._texts, self._seed) as crowd:
            crowd.add(listeners, within_s=self._texts.mean_s)
            await asyncio.sleep(self._texts.mean_s + 1)
            seen = await crowd.measure(seconds, self._meter, listeners, until_dry)
        verdict = "good" if seen.holds(self._goal.ttfa_target_ms) else "too many"
        self._tell(f"{listeners} listeners, {seen.seconds:.0f} s: {verdict}; {seen.in_short()}")
        self._probes.append(seen)
        return seen

    def _result(self, listeners: int) -> Ramp:
        probes, self._probes = tuple(self._probes), []
        best = [probe for probe in probes if probe.listeners == listeners]
        return Ramp(listeners, best[-1] if best else None, probes)

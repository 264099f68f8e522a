"""What a bench does, in order. Each phase fills its part of the report."""

import asyncio
import json
import os
import shlex
import sys
import tempfile
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path

from sayline_tts.bench.engine_times import EngineTimes
from sayline_tts.bench.load import single_stream
from sayline_tts.bench.load.checkpoint import Staged, stage
from sayline_tts.bench.load.load_generator import Crowd
from sayline_tts.bench.load.memory import measure_memory
from sayline_tts.bench.load.own_server import SAYLINE, ServerFailed, own_server
from sayline_tts.bench.load.process import Meter, pid_of_server
from sayline_tts.bench.load.sayline_stream import Server
from sayline_tts.bench.load.stream import Connect
from sayline_tts.bench.load.texts import Texts, measure_texts
from sayline_tts.bench.reference.capacity_search import Search
from sayline_tts.bench.report.config import Goal
from sayline_tts.bench.report.report import Report
from sayline_tts.bench.report.system_info import Machine

# What of the environment says how the server was set; a key is nobody's business.
SETTINGS = {f"SAYLINE_{name}" for name in ("DEVICE", "THREADS", "PRECISION", "SLOTS", "CAPACITY", "LEAD_MS")}
LEAST_SLOTS = 256  # what a server has anyway
SHARE = 0.8  # of the most listeners, for arrivals by chance


class Bench:
    """Use once."""

    def __init__(self, goal: Goal, tell: Callable[[str], None]) -> None:
        self._goal, self._size, self._tell = goal, goal.size, tell
        self.report = Report(
            shlex.join(["sayline", *sys.argv[1:]]),
            datetime.now(UTC).isoformat(timespec="seconds"),
            Machine.here(),
            goal.ttfa_target_ms,
            model=goal.url or goal.config or goal.variant,
        )
        self.report.settings = {name: value for name, value in os.environ.items() if name in SETTINGS}
        self._staged = Staged(goal.variant)
        self._guess = 8  # of the most listeners

    async def run(self) -> Report:
        """Raises `Lost`, `InputError`."""
        with tempfile.TemporaryDirectory(prefix="sayline-bench-") as folder:
            if self._goal.url is None:
                self._staged = stage(self._goal.variant, self._goal.config, Path(folder))
                await self._engine()
            if set(self._goal.phases) - {"engine"}:
                await self._one_listener()
            if self._wants("memory") or self._wants("ramp"):
                async with self._server(unbounded(self._size.most_listeners)) as running:
                    await self._memory(*running)
                    await self._ramp(*running)
            await self._poisson()
        return self.report

    def _wants(self, phase: str) -> bool:
        return phase in self._goal.phases

    async def _engine(self) -> None:
        """In a process of its own: what torch allocates there weighs on nothing that is measured later."""
        needs_voice = self._staged.voice_file is not None
        if self._wants("engine") or needs_voice:
            self._tell("The engine, from inside ...")
            times = await run_engine_bench(self._staged, self._size.quick or not self._wants("engine"))
            self.report.model, self.report.precision = times.model, times.precision
            self._guess = times.most_rows()
            if self._wants("engine"):
                self.report.engine = times

    async def _one_listener(self) -> None:
        """Starts the server a few times, and the last time measures the texts too, which all other phases need."""
        timed = self._wants("start") and self._goal.url is None
        runs = self._size.runs if timed else 1
        for run in range(runs):
            async with self._server() as (connect, _, started_s):
                if timed:
                    self.report.start_s.append(await single_stream.start_s(connect, started_s))
                    self._tell(f"From the command to first audio: {self.report.start_s[-1]:.2f} s")
                if run == runs - 1:
                    await self._alone(connect)

    async def _alone(self, connect: Connect) -> None:
        self._tell("How long texts become ...")
        self.report.texts = await measure_texts(connect, self._size.least_s, self._size.most_s)
        for run in range(self._size.runs if self._wants("alone") else 0):
            idle = await single_stream.first_audio_ms(connect, self.report.texts, self._size.idle_texts, run)
            self.report.idle_ttfa_ms.append(idle)
            self.report.alone_x.append(await single_stream.speed_x(connect, self.report.texts, run))
            self._tell(f"One listener alone: first audio {idle.p50:.0f} ms, {self.report.alone_x[-1]:.1f} x")

    async def _memory(self, connect: Connect, meter: Meter, _: float) -> None:
        if self._wants("memory") and self._goal.url is None:  # it takes a server that has not spoken yet
            self._tell("Memory of each further listener ...")
            self.report.memory = await measure_memory(connect, self._texts, meter, self._size.memory_listeners)

    async def _ramp(self, connect: Connect, meter: Meter, _: float) -> None:
        if not self._wants("ramp"):
            return
        search = Search(self._goal, connect, meter, self._texts, self._tell)
        guess = await search.first_look(self._guess) if self._goal.listeners is None else 0
        for _run in range(self._size.runs):
            if self._goal.listeners is not None:
                ramp = await search.hold(self._goal.listeners)
            else:
                ramp = await search.run(guess)
                guess = ramp.listeners
            self.report.ramps.append(ramp)

    async def _poisson(self) -> None:
        if not self._wants("poisson"):
            return
        found = self.report.listeners
        listeners = self._goal.listeners or (round(found.median) if found else 0)
        if not listeners:
            return
        present = SHARE * listeners
        async with self._server() as (connect, meter, _):
            for run in range(self._size.runs):
                async with Crowd(connect, self._texts, run) as crowd:
                    crowd.open_doors(present / self._mean_text_s)
                    await asyncio.sleep(self._texts.most_s)  # until as many have left as have come
                    seen = await crowd.measure(self._size.seconds, meter, present)
                self.report.poisson.append(seen)
                self._tell(f"By chance, {present:g} on average: {seen.in_short()}")

    @property
    def _mean_text_s(self) -> float:
        """As the ramp has heard them, else as they are drawn."""
        heard = [ramp.best.text_s for ramp in self.report.ramps if ramp.best and ramp.best.text_s]
        return heard[-1][1] if heard else self._texts.mean_s

    @property
    def _texts(self) -> Texts:
        assert self.report.texts is not None
        return self.report.texts

    @asynccontextmanager
    async def _server(
        self, environment: Mapping[str, str] | None = None
    ) -> AsyncIterator[tuple[Connect, Meter, float]]:
        goal = self._goal
        if goal.url is not None:
            meter = Meter(await asyncio.to_thread(pid_of_server, goal.url))
            yield Server(goal.url, goal.api_key, goal.voice).connect, meter, 0.0
            return
        async with own_server([*SAYLINE, *self._staged.flags], environment) as server:
            connect = Server(server.url, goal.api_key, goal.voice or self._staged.voice).connect
            yield connect, Meter(server.pid), server.started_s


def unbounded(most_listeners: int) -> dict[str, str]:
    """Settings that keep the server's own admission from answering in place of its engine."""
    most = str(max(most_listeners, LEAST_SLOTS))
    return {"SAYLINE_SLOTS": most, "SAYLINE_CAPACITY": most}


async def run_engine_bench(staged: Staged, quick: bool) -> EngineTimes:
    command = [sys.executable, "-m", "sayline_tts.bench.engine_bench", *staged.flags, *(["--quick"] if quick else [])]
    process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
    output, _ = await process.communicate()
    if process.returncode:
        raise ServerFailed("the bench of the engine failed; its error is above")
    return EngineTimes.from_json(json.loads(output))

"""Run the phases of a benchmark in order. Each phase fills its part of the report."""

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
from typing import NamedTuple

from sayline_tts.bench.engine_times import EngineTimes
from sayline_tts.bench.load import single_stream
from sayline_tts.bench.load.capacity_search import CapacitySearch
from sayline_tts.bench.load.checkpoint import StagedCheckpoint, stage
from sayline_tts.bench.load.load_generator import LoadGenerator
from sayline_tts.bench.load.memory import measure_memory
from sayline_tts.bench.load.own_server import SAYLINE, ServerFailed, own_server
from sayline_tts.bench.load.process import CpuMeter, pid_of_server
from sayline_tts.bench.load.sayline_stream import Server
from sayline_tts.bench.load.stream import Connect
from sayline_tts.bench.load.texts import Texts, measure_texts
from sayline_tts.bench.load.vendor_stream import connect_by
from sayline_tts.bench.report.config import BenchConfig
from sayline_tts.bench.report.report import Report
from sayline_tts.bench.report.system_info import SystemInfo

# Settings that the report records; never the API key.
SETTINGS = {f"SAYLINE_{name}" for name in ("DEVICE", "THREADS", "PRECISION", "SLOTS", "CAPACITY", "LEAD_MS")}
LEAST_SLOTS = 256  # the default of --slots
WORDS_AHEAD = (0, 2)  # of the writer's scenario; 0: whole clauses
SHARE = 0.8  # load of the Poisson scenario, relative to the maximum


class Running(NamedTuple):
    """A server. `native`: connections of the native protocol, whatever is measured; `connect`: of the one that is."""

    connect: Connect
    native: Connect
    meter: CpuMeter
    started_s: float = 0.0


class Bench:
    """One benchmark; use it once."""

    def __init__(self, bench_config: BenchConfig, report_progress: Callable[[str], None]) -> None:
        self._config, self._size, self._report_progress = bench_config, bench_config.size, report_progress
        self.report = Report(
            shlex.join(["sayline", *sys.argv[1:]]),
            datetime.now(UTC).isoformat(timespec="seconds"),
            SystemInfo.here(),
            bench_config.ttfa_target_ms,
            model=bench_config.url or bench_config.config or bench_config.variant,
        )
        self.report.settings = {name: value for name, value in os.environ.items() if name in SETTINGS}
        self._staged = StagedCheckpoint(bench_config.variant)
        self._estimate = 8  # of the maximum, where the search starts

    async def run(self) -> Report:
        """Raises `Lost`, `InputError`."""
        with tempfile.TemporaryDirectory(prefix="sayline-bench-") as folder:
            if self._config.url is None:
                self._staged = stage(self._config.variant, self._config.config, Path(folder))
                await self._engine()
            if set(self._config.phases) - {"engine"}:
                await self._one_listener()
            if self._wants("memory") or self._wants("ramp"):
                async with self._server(unbounded(self._size.most_listeners)) as running:
                    await self._memory(running)
                    await self._ramp(running)
            await self._poisson()
        return self.report

    def _wants(self, phase: str) -> bool:
        return phase in self._config.phases

    async def _engine(self) -> None:
        """Measure in a separate process, so that torch's memory does not affect later phases."""
        needs_voice = self._staged.voice_file is not None
        if self._wants("engine") or needs_voice:
            self._report_progress("Measuring the engine ...")
            times = await run_engine_bench(self._staged, self._size.quick or not self._wants("engine"))
            self.report.model, self.report.precision = times.model, times.precision
            self._estimate = times.most_rows()
            if self._wants("engine"):
                self.report.engine = times

    async def _one_listener(self) -> None:
        """Start the server several times; the last time also measure the texts, which all other phases need."""
        timed = self._wants("start") and self._config.url is None
        runs = self._size.runs if timed else 1
        for run in range(runs):
            async with self._server() as running:
                if timed:
                    self.report.start_s.append(await single_stream.start_s(running.connect, running.started_s))
                    self._report_progress(f"Start to first audio: {self.report.start_s[-1]:.2f} s")
                if run == runs - 1:
                    await self._alone(running)

    async def _alone(self, running: Running) -> None:
        connect = running.connect
        self._report_progress("Measuring text durations ...")
        self.report.texts = await measure_texts(running.native, self._size.least_s, self._size.most_s)
        for _ in range(self._size.runs if self._wants("writer") else 0):
            for words in WORDS_AHEAD:
                waits = await single_stream.writer_first_audio_ms(connect, words, self._size.written_texts)
                self.report.writer_ttfa_ms.setdefault(words, []).append(waits)
                self._report_progress(f"A text being written, {words} words ahead: first audio {waits.p50:.0f} ms")
        for run in range(self._size.runs if self._wants("alone") else 0):
            idle = await single_stream.first_audio_ms(connect, self.report.texts, self._size.idle_texts, run)
            self.report.idle_ttfa_ms.append(idle)
            self.report.alone_x.append(await single_stream.speed_x(running.native, self.report.texts, run))
            self._report_progress(f"One listener alone: first audio {idle.p50:.0f} ms, {self.report.alone_x[-1]:.1f} x")

    async def _memory(self, running: Running) -> None:
        if self._wants("memory") and self._config.url is None:  # needs a server that has not generated anything yet
            self._report_progress("Measuring memory for each further listener ...")
            listeners = self._size.memory_listeners
            self.report.memory = await measure_memory(running.connect, self._texts, running.meter, listeners)

    async def _ramp(self, running: Running) -> None:
        if not self._wants("ramp"):
            return
        search = CapacitySearch(self._config, running.connect, running.meter, self._texts, self._report_progress)
        guess = await search.estimate(self._estimate) if self._config.listeners is None else 0
        for _run in range(self._size.runs):
            if self._config.listeners is not None:
                ramp = await search.hold(self._config.listeners)
            else:
                ramp = await search.run(guess)
                guess = ramp.listeners
            self.report.ramps.append(ramp)

    async def _poisson(self) -> None:
        if not self._wants("poisson"):
            return
        found = self.report.listeners
        listeners = self._config.listeners or (round(found.median) if found else 0)
        if not listeners:
            return
        present = SHARE * listeners
        async with self._server() as running:
            for run in range(self._size.runs):
                async with LoadGenerator(running.connect, self._texts, run) as generator:
                    generator.start_arrivals(present / self._mean_text_s)
                    await asyncio.sleep(self._texts.most_s)  # until departures balance arrivals
                    seen = await generator.measure(self._size.seconds, running.meter, present)
                self.report.poisson.append(seen)
                self._report_progress(f"Poisson arrivals, {present:g} listeners on average: {seen.summary()}")

    @property
    def _mean_text_s(self) -> float:
        """Measured in the capacity search, or else the nominal mean."""
        served = [ramp.best.text_s for ramp in self.report.ramps if ramp.best and ramp.best.text_s]
        return served[-1][1] if served else self._texts.mean_s

    @property
    def _texts(self) -> Texts:
        assert self.report.texts is not None
        return self.report.texts

    @asynccontextmanager
    async def _server(self, environment: Mapping[str, str] | None = None) -> AsyncIterator[Running]:
        bench_config = self._config
        if bench_config.url is not None:
            meter = CpuMeter(await asyncio.to_thread(pid_of_server, bench_config.url))
            server = Server(bench_config.url, bench_config.api_key, bench_config.voice)
            yield Running(connect_by(bench_config.protocol, server), server.connect, meter)
            return
        async with own_server([*SAYLINE, *self._staged.flags], environment) as own:
            server = Server(own.url, bench_config.api_key, bench_config.voice or self._staged.voice)
            connect = connect_by(bench_config.protocol, server)
            yield Running(connect, server.connect, CpuMeter(own.pid), own.started_s)


def unbounded(most_listeners: int) -> dict[str, str]:
    """Return settings that keep admission control from limiting the load before the engine does."""
    most = str(max(most_listeners, LEAST_SLOTS))
    return {"SAYLINE_SLOTS": most, "SAYLINE_CAPACITY": most}


async def run_engine_bench(staged: StagedCheckpoint, quick: bool) -> EngineTimes:
    command = [sys.executable, "-m", "sayline_tts.bench.engine_bench", *staged.flags, *(["--quick"] if quick else [])]
    process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
    output, _ = await process.communicate()
    if process.returncode:
        raise ServerFailed("the engine benchmark failed; see its error above")
    return EngineTimes.from_json(json.loads(output))

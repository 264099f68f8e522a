"""Measure Sayline and the reference implementation in turn on one checkpoint; ratios are more robust than times.

    make bench-peer ARGS="--config model.yaml"

Each server is started alone, given the same texts, and stopped; this is repeated `--runs` times.
"""

import argparse
import asyncio
import json
import logging
import socket
import sys
import tempfile
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from sayline_tts.bench.bench_runner import run_engine_bench, unbounded
from sayline_tts.bench.load import single_stream
from sayline_tts.bench.load.capacity_search import CapacitySearch
from sayline_tts.bench.load.checkpoint import StagedCheckpoint, stage
from sayline_tts.bench.load.memory import Memory, measure_memory
from sayline_tts.bench.load.own_server import SAYLINE, own_server
from sayline_tts.bench.load.process import CpuMeter
from sayline_tts.bench.load.sayline_stream import Server
from sayline_tts.bench.load.stream import Connect
from sayline_tts.bench.load.texts import Texts, measure_texts
from sayline_tts.bench.reference.reference_report import print_ratios
from sayline_tts.bench.reference.reference_stream import ReferenceServer
from sayline_tts.bench.report.config import QUICK, BenchConfig, Size
from sayline_tts.bench.report.report import CapacityResult
from sayline_tts.bench.report.stats import Quantiles
from sayline_tts.bench.report.system_info import SystemInfo
from sayline_tts.engine.checkpoint.checkpoint import EMBEDDED

REFERENCE_READY = r"running on http://([\w.:]+)"
TTFA_TARGET_MS = 30_000.0  # the reference has no low latency with several requests; only underruns count here


@dataclass
class ServerResults:
    """Results of one of the two servers."""

    name: str
    first_audio_ms: list[Quantiles] = field(default_factory=list)
    alone_x: list[float] = field(default_factory=list)
    ramps: list[CapacityResult] = field(default_factory=list)
    memory: Memory | None = None


class ReferenceBench:
    """One comparison; use it once."""

    def __init__(self, reference: Path, staged: StagedCheckpoint, size: Size) -> None:
        self._reference, self._staged, self._size = reference, staged, size
        self._config = BenchConfig(ttfa_target_ms=TTFA_TARGET_MS, size=size)
        self._texts: Texts | None = None
        self.servers = (ServerResults("sayline"), ServerResults("reference"))

    async def run(self) -> None:
        await run_engine_bench(self._staged, quick=True)  # also makes the voice
        for run in range(self._size.runs):
            for server_results in self.servers:
                report_progress(f"{server_results.name}, run {run + 1} of {self._size.runs} ...")
                async with self._server(server_results.name) as (connect, meter):
                    await self._measure(server_results, connect, meter)

    async def _measure(self, server_results: ServerResults, connect: Connect, meter: CpuMeter) -> None:
        if self._texts is None:  # measured on Sayline; durations on the reference are the same
            self._texts = await measure_texts(connect, self._size.least_s, self._size.most_s)
        if not server_results.ramps:
            server_results.memory = await measure_memory(connect, self._texts, meter, 2 if self._size.quick else 4)
        run = len(server_results.ramps)
        server_results.first_audio_ms.append(
            await single_stream.first_audio_ms(connect, self._texts, self._size.idle_texts, run)
        )
        server_results.alone_x.append(await single_stream.speed_x(connect, self._texts, run))
        search = CapacitySearch(self._config, connect, meter, self._texts, report_progress)
        guess = (
            server_results.ramps[-1].listeners
            if server_results.ramps
            else await search.estimate(max(1, int(server_results.alone_x[-1])))
        )
        server_results.ramps.append(await search.run(guess))

    @asynccontextmanager
    async def _server(self, name: str) -> AsyncIterator[tuple[Connect, CpuMeter]]:
        if name == "sayline":
            async with own_server([*SAYLINE, *self._staged.flags], unbounded(self._size.most_listeners)) as server:
                yield Server(server.url, voice=self._staged.voice).connect, CpuMeter(server.pid)
            return
        command = [str(self._reference), "serve", "--host", "127.0.0.1", "--port", str(free_port())]
        command += ["--config", str(self._staged.config), "--default-voice", str(self._staged.voice_file)]
        async with own_server(command, ready=REFERENCE_READY) as server:
            yield ReferenceServer(server.address).connect, CpuMeter(server.pid)


def free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])


def report_progress(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--reference", type=Path, required=True, help="path of the pocket-tts command")
    parser.add_argument(
        "--config", default=str(EMBEDDED / "config.yaml"), help="YAML file of the model; default: the embedded model"
    )
    parser.add_argument("--seconds", type=float, default=60.0, help="length of a measurement, without an underrun")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--quick", action="store_true", help="smoke test of some seconds; its numbers mean nothing")
    parser.add_argument("-o", "--output", type=Path, default=Path("build/bench"), help="folder for peer.json")
    options = parser.parse_args(arguments)
    logging.basicConfig(level=logging.ERROR)
    size = QUICK if options.quick else Size(seconds=options.seconds, runs=options.runs, idle_texts=10)
    with tempfile.TemporaryDirectory(prefix="sayline-bench-") as folder:
        bench = ReferenceBench(options.reference, stage("auto", options.config, Path(folder)), size)
        asyncio.run(bench.run())
    content: dict[str, Any] = {"machine": asdict(SystemInfo.here()), "config": options.config}
    content |= {server_results.name: asdict(server_results) for server_results in bench.servers}
    options.output.mkdir(parents=True, exist_ok=True)
    (options.output / "peer.json").write_text(json.dumps(content, indent=2) + "\n", "utf-8")
    print_ratios(*bench.servers)


if __name__ == "__main__":
    main()

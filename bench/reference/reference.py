"""Sayline and the reference implementation, measured in turn on one checkpoint: a ratio says more than a time.

    make bench-peer ARGS="--config model.yaml"

Each server is started alone, asked the same texts, and stopped again; that is repeated `--runs` times.
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
from sayline_tts.bench.load.checkpoint import Staged, stage
from sayline_tts.bench.load.memory import Memory, measure_memory
from sayline_tts.bench.load.own_server import SAYLINE, own_server
from sayline_tts.bench.load.process import Meter
from sayline_tts.bench.load.sayline_stream import Server
from sayline_tts.bench.load.stream import Connect
from sayline_tts.bench.load.texts import Texts, measure_texts
from sayline_tts.bench.reference.capacity_search import Search
from sayline_tts.bench.reference.reference_report import print_ratios
from sayline_tts.bench.reference.reference_stream import PeerServer
from sayline_tts.bench.report.config import QUICK, Goal, Size
from sayline_tts.bench.report.report import Ramp
from sayline_tts.bench.report.stats import Quantiles
from sayline_tts.bench.report.system_info import Machine
from sayline_tts.engine.checkpoint.checkpoint import EMBEDDED

PEER_READY = r"running on http://([\w.:]+)"
TTFA_TARGET_MS = 30_000.0  # the reference cannot be prompt with several at once; whether they run dry is asked here


@dataclass
class Side:
    """One of the two servers, and what it was seen to do."""

    name: str
    first_audio_ms: list[Quantiles] = field(default_factory=list)
    alone_x: list[float] = field(default_factory=list)
    ramps: list[Ramp] = field(default_factory=list)
    memory: Memory | None = None


class PeerBench:
    """Use once."""

    def __init__(self, reference: Path, staged: Staged, size: Size) -> None:
        self._reference, self._staged, self._size = reference, staged, size
        self._goal = Goal(ttfa_target_ms=TTFA_TARGET_MS, size=size)
        self._texts: Texts | None = None
        self.sides = (Side("sayline"), Side("reference"))

    async def run(self) -> None:
        await run_engine_bench(self._staged, quick=True)  # makes the voice
        for run in range(self._size.runs):
            for side in self.sides:
                tell(f"{side.name}, run {run + 1} of {self._size.runs} ...")
                async with self._server(side.name) as (connect, meter):
                    await self._measure(side, connect, meter)

    async def _measure(self, side: Side, connect: Connect, meter: Meter) -> None:
        if self._texts is None:  # measured on ours; to the reference they are as long
            self._texts = await measure_texts(connect, self._size.least_s, self._size.most_s)
        if not side.ramps:
            side.memory = await measure_memory(connect, self._texts, meter, 2 if self._size.quick else 4)
        run = len(side.ramps)
        side.first_audio_ms.append(await single_stream.first_audio_ms(connect, self._texts, self._size.idle_texts, run))
        side.alone_x.append(await single_stream.speed_x(connect, self._texts, run))
        search = Search(self._goal, connect, meter, self._texts, tell)
        guess = side.ramps[-1].listeners if side.ramps else await search.first_look(max(1, int(side.alone_x[-1])))
        side.ramps.append(await search.run(guess))

    @asynccontextmanager
    async def _server(self, name: str) -> AsyncIterator[tuple[Connect, Meter]]:
        if name == "sayline":
            async with own_server([*SAYLINE, *self._staged.flags], unbounded(self._size.most_listeners)) as server:
                yield Server(server.url, voice=self._staged.voice).connect, Meter(server.pid)
            return
        command = [str(self._reference), "serve", "--host", "127.0.0.1", "--port", str(free_port())]
        command += ["--config", str(self._staged.config), "--default-voice", str(self._staged.voice_file)]
        async with own_server(command, ready=PEER_READY) as server:
            yield PeerServer(server.address).connect, Meter(server.pid)


def free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])


def tell(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--reference", type=Path, required=True, help="its command, pocket-tts")
    parser.add_argument("--config", default=str(EMBEDDED / "config.yaml"), help="the model's YAML; else the embedded")
    parser.add_argument("--seconds", type=float, default=60.0, help="how long nobody may run dry")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--quick", action="store_true", help="seconds, not minutes; its numbers mean nothing")
    parser.add_argument("-o", "--output", type=Path, default=Path("build/bench"), help="where peer.json is written")
    options = parser.parse_args(arguments)
    logging.basicConfig(level=logging.ERROR)
    size = QUICK if options.quick else Size(seconds=options.seconds, runs=options.runs, idle_texts=10)
    with tempfile.TemporaryDirectory(prefix="sayline-bench-") as folder:
        bench = PeerBench(options.reference, stage("auto", options.config, Path(folder)), size)
        asyncio.run(bench.run())
    content: dict[str, Any] = {"machine": asdict(Machine.here()), "config": options.config}
    content |= {side.name: asdict(side) for side in bench.sides}
    options.output.mkdir(parents=True, exist_ok=True)
    (options.output / "peer.json").write_text(json.dumps(content, indent=2) + "\n", "utf-8")
    print_ratios(*bench.sides)


if __name__ == "__main__":
    main()

"""Real processes with the embedded voice: engines are killed, stopped and restarted, and the audio does not change."""

import asyncio
import contextlib
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import torch

from sayline_tts.engine.checkpoint.checkpoint import find_checkpoint
from sayline_tts.engine.models.model import Model
from sayline_tts.engine.models.model_description import ModelDescription
from sayline_tts.engine.scheduling.utterance import Status
from sayline_tts.server.fleet.fleet import Fleet, FleetOptions
from sayline_tts.server.metrics import Metrics
from sayline_tts.server.synthesis.engine_loop import EngineLoop
from sayline_tts.server.synthesis.playback import Playback
from tests.server.fleet.harness import HOST, Ear, make, until

KILLS = int(os.environ.get("SAYLINE_KILLS", "4"))
LISTENERS = int(os.environ.get("SAYLINE_LISTENERS", "3"))
LEAD_MS = 1_000.0
TEXTS = ("The keys are on the table.", 4, "Please call me back when you have found them.", "Good bye, and thank you.")
WORDS = [word for text in TEXTS if isinstance(text, str) for word in text.split()]
START_S = 120


@dataclass
class EngineProcess:
    process: subprocess.Popen[str]
    port: int

    def send(self, number: int) -> None:
        self.process.send_signal(number)

    def kill(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            self.process.kill()
        self.process.wait(60)
        assert self.process.stdout is not None
        self.process.stdout.close()


def start_engine(port: int = 0, *options: str) -> EngineProcess:
    command = [
        sys.executable, "-c", "from sayline.cli import main; main()",
        "engine", "--variant", "embedded", "--precision", "int8",
        "--engine-port", str(port), "--capacity", "32", *options,
    ]  # fmt: skip
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    line = next(line for line in process.stdout if "is ready at" in line)
    return EngineProcess(process, int(line.split("ready at ")[1].split(": ")[0].rpartition(":")[2]))


@pytest.fixture
def engines() -> Iterator[list[EngineProcess]]:
    started = [start_engine(), start_engine()]
    yield started
    for each in started:
        each.kill()


@asynccontextmanager
async def front(engines: list[EngineProcess], metrics: Metrics | None = None, **options: Any) -> AsyncIterator[Fleet]:
    model = ModelDescription.read(find_checkpoint("embedded"))
    addresses = [(HOST, each.port) for each in engines]
    fleet = Fleet(model, FleetOptions(addresses, **{"silence_s": 1.0, **options}), metrics)
    fleet.start()
    try:
        async with asyncio.timeout(START_S):
            while len(fleet.engines) < len(engines):  # noqa: ASYNC110
                await asyncio.sleep(0.01)
            await fleet.warm_up()
        yield fleet
    finally:
        await fleet.stop()


class LiveEar(Ear):
    """Plays in real time what it hears."""

    def __init__(self) -> None:
        super().__init__()
        loop = asyncio.get_running_loop()
        self.playback = Playback(lambda: loop.time() * 1000)
        self.underrun_ms = 0.0

    def on_frame(self, encoded: np.ndarray) -> None:
        if self.pcm:
            self.underrun_ms += self.playback.underrun_ms
        self.playback.on_sent(80.0)
        super().on_frame(encoded)


async def listen(engine: Any, seed: int) -> LiveEar:
    ear = LiveEar()
    utterance = await make(engine, *TEXTS, seed=seed, words=True, playback=ear.playback, max_lead_ms=LEAD_MS)
    ear.on_heard = engine.streams.wake_soon
    engine.submit(utterance, ear)
    return ear


@pytest.fixture(scope="module")
def expected() -> dict[int, Ear]:
    """What one process says, by seed."""

    async def run() -> dict[int, Ear]:
        from sayline_tts.engine.engine import Engine

        torch.set_num_threads(1)
        loop = EngineLoop(Engine(Model.load(find_checkpoint("embedded"), precision="int8"), LISTENERS))
        loop.start()
        ears = {seed: Ear() for seed in range(LISTENERS)}
        for seed, ear in ears.items():
            loop.submit(await make(loop, *TEXTS, seed=seed, words=True), ear)
        for ear in ears.values():
            async with asyncio.timeout(START_S):
                while ear.status is None:
                    ear.changed.clear()
                    await ear.changed.wait()
        await loop.stop()
        return ears

    return asyncio.run(run())


async def assert_undisturbed(ears: list[LiveEar], expected: dict[int, Ear]) -> None:
    """Every sample and every word is that of one process, and each is there once."""
    for seed, ear in enumerate(ears):
        async with asyncio.timeout(START_S):
            while ear.status is None:
                ear.changed.clear()
                await ear.changed.wait()
        assert ear.status is Status.FINISHED
        assert len(ear.pcm) == len(expected[seed].pcm)
        assert all(map(np.array_equal, ear.pcm, expected[seed].pcm)), seed
        assert ear.words == expected[seed].words
        assert [each.word.text for each in ear.words if not each.final] == WORDS
    print(f"underruns: {[round(ear.underrun_ms) for ear in ears]} ms")


@pytest.mark.slow
async def test_killed_engines_are_not_heard(engines: list[EngineProcess], expected: dict[int, Ear]) -> None:
    draw, metrics = random.Random(1), Metrics()
    underruns_ms: list[float] = []
    cpu_s, speech_s = 0.0, 0.0
    async with front(engines, metrics) as fleet:
        for _ in range(KILLS):
            began_s = time.process_time()
            ears = [await listen(fleet, seed) for seed in range(LISTENERS)]
            await asyncio.sleep(draw.uniform(0.1, 4.0))
            victim = draw.randrange(2)
            port = engines[victim].port
            engines[victim].kill()
            await assert_undisturbed(ears, expected)
            underruns_ms += [ear.underrun_ms for ear in ears if ear.underrun_ms]
            cpu_s, speech_s = cpu_s + time.process_time() - began_s, speech_s + sum(0.08 * len(ear.pcm) for ear in ears)
            engines[victim] = await asyncio.to_thread(start_engine, port)
            await until(lambda: len(fleet.engines) == 2)
    moves = next(line for line in metrics.render()[0].decode().splitlines() if 'moves_total{reason="death"}' in line)
    print(f"{KILLS} kills, {KILLS * LISTENERS} speeches, {moves}")
    print(f"underruns: {len(underruns_ms)}, longest {max(underruns_ms, default=0.0):.0f} ms")
    print(f"processor time of the front: {1000 * cpu_s / speech_s:.1f} ms per second of speech")


@pytest.mark.slow
async def test_stopped_engine_is_left_and_comes_back(engines: list[EngineProcess], expected: dict[int, Ear]) -> None:
    async with front(engines, silence_s=0.4) as fleet:
        ears = [await listen(fleet, seed) for seed in range(LISTENERS)]
        await ears[0].wait(lambda: len(ears[0].pcm) > 20)
        engines[0].send(signal.SIGSTOP)
        await assert_undisturbed(ears, expected)
        engines[0].send(signal.SIGCONT)
        await until(lambda: len(fleet.engines) == 2)


@pytest.mark.slow
async def test_rolling_restart_is_not_heard(engines: list[EngineProcess], expected: dict[int, Ear]) -> None:
    async with front(engines) as fleet:
        for victim in (0, 1):
            ears = [await listen(fleet, seed) for seed in range(LISTENERS)]
            await ears[0].wait(lambda ears=ears: len(ears[0].pcm) > 10)
            port = engines[victim].port
            engines[victim].send(signal.SIGTERM)
            await assert_undisturbed(ears, expected)
            assert await asyncio.to_thread(engines[victim].process.wait, 60) == 0
            engines[victim].kill()
            engines[victim] = await asyncio.to_thread(start_engine, port)
            await until(lambda: len(fleet.engines) == 2)

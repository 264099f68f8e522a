"""What the monitor reports to the engine."""

import asyncio
import time

import pytest

from sayline_tts.server.synthesis import load_monitor
from sayline_tts.server.synthesis.engine_loop import EngineLoop
from tests.server.fakes import FakeEngine


@pytest.fixture
def observed(engine: FakeEngine, monkeypatch: pytest.MonkeyPatch) -> list[tuple[float, int, float]]:
    monkeypatch.setattr(load_monitor, "TICK_S", 0.01)
    calls: list[tuple[float, int, float]] = []
    monkeypatch.setattr(engine, "observe_load", lambda *measured: calls.append(measured))
    return calls


async def test_blocked_event_loop_is_reported_as_late(
    engine: FakeEngine, observed: list[tuple[float, int, float]]
) -> None:
    engine_loop = EngineLoop(engine)
    engine_loop.start()
    for _ in range(6):
        time.sleep(0.3)  # noqa: ASYNC251, this is what is tested
        await asyncio.sleep(0)
    await engine_loop.stop()
    assert max(late_ms for late_ms, _, _ in observed) > 200
    count = len(observed)
    await asyncio.sleep(0.05)
    assert len(observed) == count, "it ticks no more"


async def test_processor_time_of_the_event_loop_is_reported(
    engine: FakeEngine, observed: list[tuple[float, int, float]]
) -> None:
    engine_loop = EngineLoop(engine)
    engine_loop.start()
    start_s = time.thread_time()
    while time.thread_time() < start_s + 0.1:
        pass
    await asyncio.sleep(0.05)
    await engine_loop.stop()
    assert max(cpu_ms for _, _, cpu_ms in observed) >= 99


async def test_idle_codec_processes_are_checked(engine: FakeEngine, observed: list[tuple[float, int, float]]) -> None:
    engine_loop = EngineLoop(engine)
    engine_loop.start()
    async with asyncio.timeout(30):
        while len(observed) < 3:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    await engine_loop.stop()
    assert engine.runner.decode_queue.checks >= 3

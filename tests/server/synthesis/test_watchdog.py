import asyncio
from collections.abc import AsyncIterator

import pytest

from sayline_tts.engine.scheduling.utterance import Utterance
from sayline_tts.engine.segment import Sampling
from sayline_tts.server.synthesis.engine_loop import EngineLoop
from sayline_tts.server.synthesis.watchdog import Watchdog
from tests.server.fakes import FakeEngine
from tests.server.synthesis.test_engine_loop import RecordingListener


class Alarm:
    def __init__(self) -> None:
        self.reasons: list[str] = []
        self.event = asyncio.Event()

    def __call__(self, reason: str) -> None:
        self.reasons.append(reason)
        self.event.set()


@pytest.fixture
async def engine_loop(engine: FakeEngine) -> AsyncIterator[EngineLoop]:
    engine_loop = EngineLoop(engine)
    engine_loop.start()
    yield engine_loop
    engine.runner.may_step.set()
    engine.runner.decode_queue.resume()
    await engine_loop.stop()


async def submit(engine_loop: EngineLoop) -> None:
    utterance = Utterance(await engine_loop.voice("ann"), Sampling(0, None, 0, 1, 0))
    utterance.add(engine_loop.model.segment("Hello there."))
    engine_loop.submit(utterance, RecordingListener())


async def test_hanging_step_is_reported_once(engine_loop: EngineLoop, engine: FakeEngine) -> None:
    alarm = Alarm()
    Watchdog(engine_loop, 0.05, alarm)
    engine.runner.may_step.clear()
    await submit(engine_loop)
    await alarm.event.wait()
    await asyncio.sleep(0.1)
    assert len(alarm.reasons) == 1
    assert "step" in alarm.reasons[0]


async def test_frame_that_is_never_decoded_is_reported(engine_loop: EngineLoop, engine: FakeEngine) -> None:
    alarm = Alarm()
    Watchdog(engine_loop, 0.05, alarm)
    engine.runner.decode_queue.hold()
    await submit(engine_loop)
    await alarm.event.wait()


async def test_failed_engine_is_reported_at_once(engine_loop: EngineLoop, engine: FakeEngine) -> None:
    def broken() -> None:
        raise AssertionError("broken")

    alarm = Alarm()
    Watchdog(engine_loop, 1e6, alarm)
    engine.schedule = broken  # type: ignore[assignment,method-assign]
    await submit(engine_loop)
    await alarm.event.wait()
    assert alarm.reasons == ["the engine has failed"]


async def test_healthy_engine_is_not_reported(engine_loop: EngineLoop) -> None:
    alarm = Alarm()
    watchdog = Watchdog(engine_loop, 0.08, alarm)
    for _ in range(3):
        await submit(engine_loop)
        await asyncio.sleep(0.05)
    watchdog.stop()
    watchdog.stop()
    assert alarm.reasons == []

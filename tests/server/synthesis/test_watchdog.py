import asyncio
from collections.abc import AsyncIterator

import pytest

from sayline_tts.engine.scheduling.utterance import Utterance
from sayline_tts.engine.segment import Sampling
from sayline_tts.server.synthesis.engine_loop import Worker
from sayline_tts.server.synthesis.watchdog import Watchdog
from tests.server.fakes import FakeEngine
from tests.server.synthesis.test_engine_loop import Ear


class Bell:
    def __init__(self) -> None:
        self.rung: list[str] = []
        self.event = asyncio.Event()

    def __call__(self, why: str) -> None:
        self.rung.append(why)
        self.event.set()


@pytest.fixture
async def worker(engine: FakeEngine) -> AsyncIterator[Worker]:
    worker = Worker(engine)
    worker.start()
    yield worker
    engine.runner.may_step.set()
    engine.runner.codec.go_on()
    await worker.stop()


async def speak(worker: Worker) -> None:
    utterance = Utterance(await worker.voice("ann"), Sampling(0, None, 0, 1, 0))
    utterance.add(worker.model.segment("Hello there."))
    worker.speak(utterance, Ear())


async def test_a_step_that_does_not_end_is_noticed_once(worker: Worker, engine: FakeEngine) -> None:
    bell = Bell()
    Watchdog(worker, 0.05, bell)
    engine.runner.may_step.clear()
    await speak(worker)
    await bell.event.wait()
    await asyncio.sleep(0.1)
    assert len(bell.rung) == 1
    assert "step" in bell.rung[0]


async def test_a_frame_that_the_codec_never_gives_is_noticed(worker: Worker, engine: FakeEngine) -> None:
    bell = Bell()
    Watchdog(worker, 0.05, bell)
    engine.runner.codec.hold()
    await speak(worker)
    await bell.event.wait()


async def test_an_engine_that_has_failed_is_noticed_at_once(worker: Worker, engine: FakeEngine) -> None:
    def broken() -> None:
        raise AssertionError("broken")

    bell = Bell()
    Watchdog(worker, 1e6, bell)
    engine.schedule = broken  # type: ignore[assignment,method-assign]
    await speak(worker)
    await bell.event.wait()
    assert bell.rung == ["the engine has failed"]


async def test_while_all_is_well_nobody_is_woken(worker: Worker) -> None:
    bell = Bell()
    watchdog = Watchdog(worker, 0.08, bell)
    for _ in range(3):
        await speak(worker)
        await asyncio.sleep(0.05)
    watchdog.stop()
    watchdog.stop()
    assert bell.rung == []

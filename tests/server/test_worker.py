import asyncio
from collections.abc import AsyncIterator

import numpy as np
import pytest

from engine.errors import Full, HubError, UnknownVoice
from engine.utterance import Sampling, Segment, Status, Utterance
from server.worker import Worker
from tests.server.fakes import FakeEngine, frame


class Ear:
    def __init__(self) -> None:
        self.frames: list[np.ndarray] = []
        self.segments: list[str] = []
        self.status: Status | None = None
        self.ended = asyncio.Event()
        self.fault: Exception | None = None

    def on_frame(self, pcm: np.ndarray) -> None:
        if self.fault:
            raise self.fault
        self.frames.append(pcm)

    def on_segment(self, segment: Segment, start_ms: float, end_ms: float) -> None:
        self.segments.append(segment.text)

    def on_ended(self, status: Status) -> None:
        assert self.status is None, "ended twice"
        self.status = status
        self.ended.set()


@pytest.fixture
async def worker(engine: FakeEngine) -> AsyncIterator[Worker]:
    worker = Worker(engine)
    worker.start()
    yield worker
    engine.runner.may_step.set()
    await worker.stop()


async def make(worker: Worker, text: str, seed: int = 0, end: bool = True) -> Utterance:
    utterance = Utterance(await worker.voice("ann"), Sampling(0, None, 0, 1, seed))
    utterance.add(worker.model.segment(text))
    if end:
        utterance.end()
    return utterance


async def test_what_the_engine_says_reaches_the_listener(worker: Worker) -> None:
    ear = Ear()
    worker.speak(await make(worker, "Hello there.", seed=5), ear)
    await ear.ended.wait()
    assert (np.array(ear.frames) == np.array([frame(5, number) for number in range(4)])).all()
    assert ear.segments == ["Hello there."]
    assert ear.status is Status.FINISHED
    assert worker.speaking == 0


async def test_nothing_runs_while_nobody_has_something_to_say(worker: Worker, engine: FakeEngine) -> None:
    ear = Ear()
    worker.speak(utterance := await make(worker, "Hello there.", end=False), ear)
    await engine.until(lambda: utterance.idle)
    for _ in range(100):
        await asyncio.sleep(0)
    assert engine.runner.steps == 4
    utterance.end()
    worker.wake()
    await ear.ended.wait()


async def test_a_cancelled_listener_hears_nothing_more(worker: Worker, engine: FakeEngine) -> None:
    ear, next_ear = Ear(), Ear()
    engine.runner.may_step.clear()
    worker.speak(utterance := await make(worker, "Hello there."), ear)
    await asyncio.sleep(0)
    worker.cancel(utterance)  # while its step runs
    worker.cancel(utterance)
    engine.runner.may_step.set()
    worker.speak(await make(worker, "Next."), next_ear)
    await next_ear.ended.wait()
    assert (ear.frames, ear.status) == ([], None)
    assert engine.running == 0


async def test_a_failed_step_ends_its_rows_and_the_next_ones_speak(worker: Worker, engine: FakeEngine) -> None:
    ears = [Ear(), Ear(), Ear()]
    engine.runner.fault = MemoryError()
    for ear in ears[:2]:
        worker.speak(await make(worker, "Hello there."), ear)
    for ear in ears[:2]:
        await ear.ended.wait()
    worker.speak(await make(worker, "Hello there."), ears[2])
    await ears[2].ended.wait()
    assert [ear.status for ear in ears] == [Status.FAILED, Status.FAILED, Status.FINISHED]


async def test_frames_that_cannot_be_decoded_end_their_listeners_and_the_next_ones_speak(
    worker: Worker, engine: FakeEngine, caplog: pytest.LogCaptureFixture
) -> None:
    ears = [Ear(), Ear()]
    engine.runner.codec_fault = MemoryError("codec")
    worker.speak(await make(worker, "Hello there."), ears[0])
    await ears[0].ended.wait()
    worker.speak(await make(worker, "Hello there."), ears[1])
    await ears[1].ended.wait()
    assert [(ear.status, len(ear.frames)) for ear in ears] == [(Status.FAILED, 0), (Status.FINISHED, 4)]
    assert "codec" in caplog.text
    assert engine.running == 0


async def test_a_listener_that_fails_ends_alone(worker: Worker, caplog: pytest.LogCaptureFixture) -> None:
    bad, good = Ear(), Ear()
    bad.fault = ValueError("no encoder")
    worker.speak(await make(worker, "Hello there."), bad)
    worker.speak(await make(worker, "Hello there."), good)
    await good.ended.wait()
    assert (bad.status, good.status) == (Status.FAILED, Status.FINISHED)
    assert "no encoder" in caplog.text


async def test_a_listener_that_fails_at_its_end_ends_alone(
    worker: Worker, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    bad, good = Ear(), Ear()
    monkeypatch.setattr(bad, "on_ended", lambda status: 1 / 0)
    worker.speak(await make(worker, "Hello."), bad)
    worker.speak(await make(worker, "Hello there."), good)
    await good.ended.wait()
    assert good.status is Status.FINISHED
    assert "ZeroDivisionError" in caplog.text


async def test_when_the_books_break_everybody_is_told(
    worker: Worker, engine: FakeEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    ear = Ear()

    def broken() -> None:
        raise AssertionError("broken")

    monkeypatch.setattr(engine, "schedule", broken)
    worker.speak(await make(worker, "Hello there."), ear)
    await ear.ended.wait()
    assert ear.status is Status.FAILED
    await asyncio.sleep(0)
    assert not worker.alive
    late = await make(worker, "Too late.")
    with pytest.raises(RuntimeError, match="stopped"):
        worker.speak(late, ear)


async def test_two_who_want_a_voice_share_one_loading(worker: Worker, engine: FakeEngine) -> None:
    engine.fake_model.may_load.clear()
    one, two, gone = (asyncio.create_task(worker.voice("bob")) for _ in range(3))
    await asyncio.sleep(0)
    gone.cancel()
    await asyncio.sleep(0)
    engine.fake_model.may_load.set()
    assert await one is await two
    assert await worker.voice("bob") is await one
    assert engine.fake_model.loaded == ["bob"]


async def test_a_voice_that_could_not_be_had_is_tried_again(worker: Worker, engine: FakeEngine) -> None:
    for _ in range(2):
        with pytest.raises(HubError):
            await worker.voice("eve")
    assert engine.fake_model.loaded == ["eve", "eve"]


async def test_only_the_models_own_voices_are_looked_up(worker: Worker, engine: FakeEngine) -> None:
    for name in ("/etc/passwd", "https://example.org/voice.wav", "hf://x/y", ""):
        with pytest.raises(UnknownVoice):
            await worker.voice(name)
    assert engine.fake_model.loaded == []


async def test_too_many_are_refused() -> None:
    engine = FakeEngine(slots=1, max_waiting=1)
    worker = Worker(engine)
    worker.start()
    engine.runner.may_step.clear()
    ears = [Ear(), Ear(), Ear()]
    worker.speak(await make(worker, "Hello."), ears[0])
    await engine.until_scheduled()
    worker.speak(await make(worker, "Hello."), ears[1])
    third = await make(worker, "Hello.")
    with pytest.raises(Full, match="try again"):
        worker.speak(third, ears[2])
    engine.runner.may_step.set()
    await ears[1].ended.wait()
    await worker.stop()
    assert ears[2].status is None


async def test_stopping_waits_for_the_step_and_tells_everybody(engine: FakeEngine) -> None:
    worker, ear = Worker(engine), Ear()
    worker.start()
    engine.runner.may_step.clear()
    worker.speak(await make(worker, "Hello there."), ear)
    late = await make(worker, "Too late.")
    await engine.until_scheduled()
    stopping = asyncio.create_task(worker.stop())
    await asyncio.sleep(0.01)
    assert not stopping.done()
    engine.runner.may_step.set()
    await stopping
    assert ear.status is Status.CANCELLED
    assert not worker.alive
    with pytest.raises(RuntimeError, match="stopped"):
        worker.speak(late, Ear())


async def test_warming_up_speaks_to_nobody(worker: Worker, engine: FakeEngine) -> None:
    await worker.warm_up()
    assert engine.runner.steps == 10  # five words
    assert worker.speaking == 0

import asyncio
from collections.abc import AsyncIterator

import numpy as np
import pytest

from sayline_tts.engine.errors import Full
from sayline_tts.engine.scheduling.utterance import Status, Utterance
from sayline_tts.engine.segment import Sampling, Segment, Silence
from sayline_tts.engine.timing.word_time_estimator import WordTime
from sayline_tts.server.synthesis.engine_loop import WARM_UP_FRAMES, Worker
from tests.server.fakes import FakeEngine, frame


class Ear:
    def __init__(self) -> None:
        self.frames: list[np.ndarray] = []
        self.segments: list[str] = []
        self.told: list[str] = []
        self.places: list[int] = []
        self.status: Status | None = None
        self.heard, self.ended = asyncio.Event(), asyncio.Event()
        self.fault: Exception | None = None
        self.encoder_fault: Exception | None = None

    def encode(self, pcm: np.ndarray) -> bytes:
        if self.encoder_fault:
            raise self.encoder_fault
        return pcm.tobytes()

    def end_part(self) -> bytes:
        return b""

    def on_part_end(self, data: bytes) -> None:
        pass

    def on_word(self, time: WordTime) -> None:
        pass

    def on_silence(self, silence: Silence) -> None:
        pass

    def on_place(self, place: int) -> None:
        self.places.append(place)

    def on_frame(self, data: bytes) -> None:
        if self.fault:
            raise self.fault
        self.frames.append(np.frombuffer(data, np.float32))
        self.told.append("frame")
        self.heard.set()

    def on_segment(self, segment: Segment, start_ms: float, end_ms: float) -> None:
        self.segments.append(segment.text)
        self.told.append("segment")

    def on_ended(self, status: Status) -> None:
        assert self.status is None, "ended twice"
        self.status = status
        self.told.append("ended")
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
    assert worker.listeners == 0


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


async def test_each_frame_is_told_as_soon_as_it_is_decoded_and_what_follows_waits_for_it(
    worker: Worker, engine: FakeEngine
) -> None:
    one, other = Ear(), Ear()
    engine.runner.codec.hold()
    worker.speak(await make(worker, "One.", seed=1), one)
    worker.speak(await make(worker, "Two.", seed=2), other)
    await engine.until(lambda: engine.runner.codec.backlog >= 2)
    assert (one.told, other.told) == ([], [])
    engine.runner.codec.go_on(1)
    hearing = [asyncio.create_task(ear.heard.wait()) for ear in (one, other)]
    await asyncio.wait(hearing, return_when=asyncio.FIRST_COMPLETED)
    assert sorted([one.told, other.told]) == [[], ["frame"]]
    engine.runner.codec.go_on()
    for ear in (one, other):
        await ear.ended.wait()
        assert ear.told == ["frame", "frame", "segment", "ended"]
    await asyncio.wait(hearing)
    assert (np.array(other.frames) == np.array([frame(2, number) for number in range(2)])).all()


async def test_who_was_left_out_because_the_codec_was_behind_goes_on_when_it_is_not(
    worker: Worker, engine: FakeEngine
) -> None:
    ear = Ear()
    engine.runner.codec.hold()
    worker.speak(await make(worker, "word " * 20), ear)
    await engine.until(lambda: engine.runner.codec.backlog > 1)
    engine.runner.codec.go_on()
    await ear.ended.wait()
    assert len(ear.frames) == 40


async def test_who_waits_hears_its_place(engine: FakeEngine) -> None:
    engine = FakeEngine(capacity=1)
    worker, ears = Worker(engine), [Ear(), Ear(), Ear()]
    worker.start()
    endless = await make(worker, "word " * 5, end=False)
    for utterance, ear in zip([endless, *[await make(worker, "Hello.") for _ in "12"]], ears, strict=True):
        worker.speak(utterance, ear)
    assert worker.waiting == 2
    worker.cancel(endless)
    for ear in ears[1:]:
        await ear.ended.wait()
    assert [ear.places for ear in ears] == [[], [1], [2, 1]]
    assert (worker.waiting, worker.listeners) == (0, 0)
    await worker.stop()


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


async def test_a_listener_that_cannot_encode_ends_alone(worker: Worker, caplog: pytest.LogCaptureFixture) -> None:
    bad, good = Ear(), Ear()
    bad.encoder_fault = ValueError("no packet")
    worker.speak(await make(worker, "Hello there."), bad)
    worker.speak(await make(worker, "Hello there."), good)
    await good.ended.wait()
    assert (bad.status, good.status) == (Status.FAILED, Status.FINISHED)
    assert "no packet" in caplog.text


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


async def test_warming_up_measures_and_speaks_to_nobody(worker: Worker, engine: FakeEngine) -> None:
    await worker.warm_up()
    assert engine.calibrations == 1
    assert engine.runner.steps == WARM_UP_FRAMES  # not the ten of its five words
    assert worker.listeners == 0

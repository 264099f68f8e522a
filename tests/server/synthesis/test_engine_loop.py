import asyncio
from collections.abc import AsyncIterator

import numpy as np
import pytest

from sayline_tts.engine.errors import Full
from sayline_tts.engine.scheduling.utterance import Status, Utterance
from sayline_tts.engine.segment import Sampling, Segment, Silence
from sayline_tts.engine.timing.word_time_estimator import WordTime
from sayline_tts.server.synthesis.engine_loop import WARM_UP_FRAMES, EngineLoop
from tests.server.fakes import FakeEngine, frame


class RecordingListener:
    def __init__(self) -> None:
        self.frames: list[np.ndarray] = []
        self.segments: list[str] = []
        self.events: list[str] = []
        self.positions: list[int | None] = []
        self.status: Status | None = None
        self.first_frame, self.ended = asyncio.Event(), asyncio.Event()
        self.listener_error: Exception | None = None
        self.encoder_error: Exception | None = None

    def encode(self, pcm: np.ndarray) -> bytes:
        if self.encoder_error:
            raise self.encoder_error
        return pcm.tobytes()

    def end_part(self) -> bytes:
        return b""

    def on_part_end(self, data: bytes) -> None:
        pass

    def on_word(self, time: WordTime) -> None:
        pass

    def on_silence(self, silence: Silence) -> None:
        pass

    def on_queue_position(self, position: int | None) -> None:
        self.positions.append(position)

    def on_frame(self, data: bytes) -> None:
        if self.listener_error:
            raise self.listener_error
        self.frames.append(np.frombuffer(data, np.float32))
        self.events.append("frame")
        self.first_frame.set()

    def on_segment(self, segment: Segment, start_ms: float, end_ms: float) -> None:
        self.segments.append(segment.text)
        self.events.append("segment")

    def on_ended(self, status: Status) -> None:
        assert self.status is None, "on_ended was called twice"
        self.status = status
        self.events.append("ended")
        self.ended.set()


@pytest.fixture
async def engine_loop(engine: FakeEngine) -> AsyncIterator[EngineLoop]:
    engine_loop = EngineLoop(engine)
    engine_loop.start()
    yield engine_loop
    engine.runner.may_step.set()
    await engine_loop.stop()


async def make(engine_loop: EngineLoop, text: str, seed: int = 0, end: bool = True) -> Utterance:
    utterance = Utterance(await engine_loop.voice("ann"), Sampling(0, None, 0, 1, seed))
    utterance.add(engine_loop.model.segment(text))
    if end:
        utterance.end()
    return utterance


async def test_engine_output_reaches_the_listener(engine_loop: EngineLoop) -> None:
    listener = RecordingListener()
    engine_loop.submit(await make(engine_loop, "Hello there.", seed=5), listener)
    await listener.ended.wait()
    assert (np.array(listener.frames) == np.array([frame(5, number) for number in range(4)])).all()
    assert listener.segments == ["Hello there."]
    assert listener.status is Status.FINISHED
    assert len(engine_loop.streams) == 0


async def test_idle_engine_takes_no_steps(engine_loop: EngineLoop, engine: FakeEngine) -> None:
    listener = RecordingListener()
    engine_loop.submit(utterance := await make(engine_loop, "Hello there.", end=False), listener)
    await engine.wait_until(lambda: utterance.idle)
    for _ in range(100):
        await asyncio.sleep(0)
    assert engine.runner.steps == 4
    utterance.end()
    engine_loop.wake()
    await listener.ended.wait()


async def test_frame_is_delivered_once_decoded_and_later_events_wait_for_it(
    engine_loop: EngineLoop, engine: FakeEngine
) -> None:
    one, other = RecordingListener(), RecordingListener()
    engine.runner.decode_queue.hold()
    engine_loop.submit(await make(engine_loop, "One.", seed=1), one)
    engine_loop.submit(await make(engine_loop, "Two.", seed=2), other)
    await engine.wait_until(lambda: engine.runner.decode_queue.backlog >= 2)
    assert (one.events, other.events) == ([], [])
    engine.runner.decode_queue.resume(1)
    waiters = [asyncio.create_task(listener.first_frame.wait()) for listener in (one, other)]
    await asyncio.wait(waiters, return_when=asyncio.FIRST_COMPLETED)
    assert sorted([one.events, other.events]) == [[], ["frame"]]
    engine.runner.decode_queue.resume()
    for listener in (one, other):
        await listener.ended.wait()
        assert listener.events == ["frame", "frame", "segment", "ended"]
    await asyncio.wait(waiters)
    assert (np.array(other.frames) == np.array([frame(2, number) for number in range(2)])).all()


async def test_row_throttled_by_the_codec_resumes_when_the_codec_catches_up(
    engine_loop: EngineLoop, engine: FakeEngine
) -> None:
    listener = RecordingListener()
    engine.runner.decode_queue.hold()
    engine_loop.submit(await make(engine_loop, "word " * 20), listener)
    await engine.wait_until(lambda: engine.runner.decode_queue.backlog > 1)
    engine.runner.decode_queue.resume()
    await listener.ended.wait()
    assert len(listener.frames) == 40


async def test_queued_utterance_gets_its_position(engine: FakeEngine) -> None:
    engine = FakeEngine(capacity=1)
    engine_loop, listeners = EngineLoop(engine), [RecordingListener(), RecordingListener(), RecordingListener()]
    engine_loop.start()
    endless = await make(engine_loop, "word " * 5, end=False)
    for utterance, listener in zip(
        [endless, *[await make(engine_loop, "Hello.") for _ in "12"]], listeners, strict=True
    ):
        engine_loop.submit(utterance, listener)
    assert engine_loop.waiting == 2
    engine_loop.streams.cancel(endless)
    for listener in listeners[1:]:
        await listener.ended.wait()
    assert [listener.positions for listener in listeners] == [[], [1, None], [2, 1, None]]
    assert (engine_loop.waiting, len(engine_loop.streams)) == (0, 0)
    await engine_loop.stop()


async def test_cancelled_utterance_calls_its_listener_no_more(engine_loop: EngineLoop, engine: FakeEngine) -> None:
    listener, next_listener = RecordingListener(), RecordingListener()
    engine.runner.may_step.clear()
    engine_loop.submit(utterance := await make(engine_loop, "Hello there."), listener)
    await asyncio.sleep(0)
    engine_loop.streams.cancel(utterance)  # while its step runs
    engine_loop.streams.cancel(utterance)
    engine.runner.may_step.set()
    engine_loop.submit(await make(engine_loop, "Next."), next_listener)
    await next_listener.ended.wait()
    assert (listener.frames, listener.status) == ([], None)
    assert engine.running == 0


async def test_failed_step_ends_its_rows_only(engine_loop: EngineLoop, engine: FakeEngine) -> None:
    listeners = [RecordingListener(), RecordingListener(), RecordingListener()]
    engine.runner.next_error = MemoryError()
    for listener in listeners[:2]:
        engine_loop.submit(await make(engine_loop, "Hello there."), listener)
    for listener in listeners[:2]:
        await listener.ended.wait()
    engine_loop.submit(await make(engine_loop, "Hello there."), listeners[2])
    await listeners[2].ended.wait()
    assert [listener.status for listener in listeners] == [Status.FAILED, Status.FAILED, Status.FINISHED]


async def test_decoding_error_ends_its_utterance_only(
    engine_loop: EngineLoop, engine: FakeEngine, caplog: pytest.LogCaptureFixture
) -> None:
    listeners = [RecordingListener(), RecordingListener()]
    engine.runner.next_codec_error = MemoryError("codec")
    engine_loop.submit(await make(engine_loop, "Hello there."), listeners[0])
    await listeners[0].ended.wait()
    engine_loop.submit(await make(engine_loop, "Hello there."), listeners[1])
    await listeners[1].ended.wait()
    assert [(listener.status, len(listener.frames)) for listener in listeners] == [
        (Status.FAILED, 0),
        (Status.FINISHED, 4),
    ]
    assert "codec" in caplog.text
    assert engine.running == 0


async def test_listener_error_ends_its_utterance_only(
    engine_loop: EngineLoop, caplog: pytest.LogCaptureFixture
) -> None:
    bad, good = RecordingListener(), RecordingListener()
    bad.listener_error = ValueError("no encoder")
    engine_loop.submit(await make(engine_loop, "Hello there."), bad)
    engine_loop.submit(await make(engine_loop, "Hello there."), good)
    await good.ended.wait()
    assert (bad.status, good.status) == (Status.FAILED, Status.FINISHED)
    assert "no encoder" in caplog.text


async def test_encoding_error_ends_its_utterance_only(
    engine_loop: EngineLoop, caplog: pytest.LogCaptureFixture
) -> None:
    bad, good = RecordingListener(), RecordingListener()
    bad.encoder_error = ValueError("no packet")
    engine_loop.submit(await make(engine_loop, "Hello there."), bad)
    engine_loop.submit(await make(engine_loop, "Hello there."), good)
    await good.ended.wait()
    assert (bad.status, good.status) == (Status.FAILED, Status.FINISHED)
    assert "no packet" in caplog.text


async def test_error_in_on_ended_affects_no_other_listener(
    engine_loop: EngineLoop, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    bad, good = RecordingListener(), RecordingListener()
    monkeypatch.setattr(bad, "on_ended", lambda status: 1 / 0)
    engine_loop.submit(await make(engine_loop, "Hello."), bad)
    engine_loop.submit(await make(engine_loop, "Hello there."), good)
    await good.ended.wait()
    assert good.status is Status.FINISHED
    assert "ZeroDivisionError" in caplog.text


async def test_scheduling_error_ends_every_utterance_and_the_loop(
    engine_loop: EngineLoop, engine: FakeEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    listener = RecordingListener()

    def broken() -> None:
        raise AssertionError("broken")

    monkeypatch.setattr(engine, "schedule", broken)
    engine_loop.submit(await make(engine_loop, "Hello there."), listener)
    await listener.ended.wait()
    assert listener.status is Status.FAILED
    await asyncio.sleep(0)
    assert not engine_loop.alive
    late = await make(engine_loop, "Too late.")
    with pytest.raises(RuntimeError, match="stopped"):
        engine_loop.submit(late, listener)


async def test_full_queue_raises_full() -> None:
    engine = FakeEngine(slots=1, max_waiting=1)
    engine_loop = EngineLoop(engine)
    engine_loop.start()
    engine.runner.may_step.clear()
    listeners = [RecordingListener(), RecordingListener(), RecordingListener()]
    engine_loop.submit(await make(engine_loop, "Hello."), listeners[0])
    await engine.wait_scheduled()
    engine_loop.submit(await make(engine_loop, "Hello."), listeners[1])
    third = await make(engine_loop, "Hello.")
    with pytest.raises(Full, match="try again"):
        engine_loop.submit(third, listeners[2])
    engine.runner.may_step.set()
    await listeners[1].ended.wait()
    await engine_loop.stop()
    assert listeners[2].status is None


async def test_stop_waits_for_the_step_and_cancels_every_utterance(engine: FakeEngine) -> None:
    engine_loop, listener = EngineLoop(engine), RecordingListener()
    engine_loop.start()
    engine.runner.may_step.clear()
    engine_loop.submit(await make(engine_loop, "Hello there."), listener)
    late = await make(engine_loop, "Too late.")
    await engine.wait_scheduled()
    stopping = asyncio.create_task(engine_loop.stop())
    await asyncio.sleep(0.01)
    assert not stopping.done()
    engine.runner.may_step.set()
    await stopping
    assert listener.status is Status.CANCELLED
    assert not engine_loop.alive
    with pytest.raises(RuntimeError, match="stopped"):
        engine_loop.submit(late, RecordingListener())


async def test_warm_up_profiles_and_leaves_no_utterance(engine_loop: EngineLoop, engine: FakeEngine) -> None:
    await engine_loop.warm_up()
    assert engine.profile_runs == 1
    assert engine.runner.steps == WARM_UP_FRAMES  # rather than the ten of its five words
    assert len(engine_loop.streams) == 0

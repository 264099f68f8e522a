"""`sayline_tts.server.http.speech`: the model is fake, the engine's books are real."""

import asyncio
from collections.abc import AsyncIterator

import numpy as np
import pytest

from sayline_tts.engine.audio.recording import to_pcm
from sayline_tts.engine.errors import Full, TextError
from sayline_tts.engine.models.voice import Voice
from sayline_tts.engine.scheduling.utterance import Status
from sayline_tts.server.audio.formats import Encoder, new_encoder
from sayline_tts.server.http.speech import (
    MAX_LEAD_MS,
    TAKEN_LEAD_MS,
    ShuttingDown,
    Speech,
    SpeechFailed,
    SpeechOptions,
)
from sayline_tts.server.metrics import Metrics
from sayline_tts.server.settings import Settings
from sayline_tts.server.synthesis.engine_loop import Worker
from sayline_tts.server.synthesis.text_feeder import Manner
from tests.server.fakes import FakeEngine, frame

LONG = "word " * 500


@pytest.fixture
async def worker(engine: FakeEngine) -> AsyncIterator[Worker]:
    worker = Worker(engine, Metrics())
    worker.start()
    yield worker
    await worker.stop()


async def speech(worker: Worker, text: str, speed: float = 1.0, encoder: Encoder | None = None) -> Speech:
    options = SpeechOptions(await worker.voice("ann"), seed=5, manner=Manner(speed=speed))
    return Speech(worker, Settings(), text, options, encoder or new_encoder("pcm", None, 24_000, speed=speed))


async def test_a_text_becomes_frames_and_then_ends(worker: Worker, engine: FakeEngine) -> None:
    said = await speech(worker, "Hello there. Good bye.")
    frames = [data async for data in said]
    assert frames == [to_pcm(frame(5, number)) for number in [*range(4), *range(4, 8)]]
    assert (said.frames, said.status, said.untaken_ms) == (8, Status.FINISHED, 0)
    assert said.text_tokens > 0
    assert said.first_audio_ms is not None
    assert [data async for data in said] == []
    said.close()
    assert said.status is Status.FINISHED


async def test_what_the_encoder_keeps_back_comes_at_the_end(worker: Worker) -> None:
    said = await speech(worker, "One two three four.", speed=2.0)
    assert sum([len(data) async for data in said]) == pytest.approx(48_000 * 0.32, abs=100)


async def test_a_pause_is_that_much_silence(worker: Worker) -> None:
    said = await speech(worker, "Hello. [pause:0.8] Bye.")
    sound = np.frombuffer(b"".join([data async for data in said]), "<i2")
    assert len(sound) == 1920 * (2 + 10 + 2)
    assert not sound[1920 * 2 : 1920 * 12].any()


async def test_closed_in_the_middle_it_is_over_at_once(worker: Worker, engine: FakeEngine) -> None:
    with await speech(worker, LONG) as said:
        await anext(said)
    steps = engine.runner.steps
    await engine.until(lambda: engine.running == 0)
    assert engine.runner.steps <= steps + 1
    assert said.status is Status.CANCELLED
    assert said.untaken_ms >= 0
    assert [data async for data in said] == []


async def test_text_without_words_is_told(worker: Worker, engine: FakeEngine) -> None:
    with pytest.raises(TextError, match="nothing to say"):
        await anext(await speech(worker, "... !!"))
    await engine.until(lambda: engine.running == 0)


async def test_a_failure_is_no_end(worker: Worker, engine: FakeEngine) -> None:
    said = await speech(worker, LONG)
    await anext(said)
    engine.runner.fault = RuntimeError("broken")
    with pytest.raises(SpeechFailed):
        async for _ in said:
            pass
    assert said.status is Status.FAILED


async def test_a_server_that_stops_is_no_end(engine: FakeEngine) -> None:
    engine.runner.codec.hold()
    worker = Worker(engine, Metrics())
    worker.start()
    said = await speech(worker, LONG)
    waiting = asyncio.ensure_future(anext(said))
    await engine.until_scheduled()
    await worker.stop()
    with pytest.raises(ShuttingDown):
        await waiting


async def test_it_does_not_wait_where_there_is_no_room() -> None:
    engine = FakeEngine(slots=1)
    engine.runner.may_step.clear()
    worker = Worker(engine, Metrics())
    worker.start()
    with await speech(worker, LONG):
        with pytest.raises(Full):
            await speech(worker, LONG)
        engine.runner.may_step.set()
    await worker.stop()


async def test_who_takes_all_gets_it_as_fast_as_it_is_made_and_who_listens_live_goes_first(
    worker: Worker, engine: FakeEngine
) -> None:
    """Ten minutes ahead of the clock, there is still less to wait for than half of what may lie ahead."""
    said = await speech(worker, LONG)
    for _ in range(800):
        await anext(said)
    (utterance,) = engine.utterances
    assert said.frames * 80 > 60_000
    assert utterance.lead_ms - said.untaken_ms <= TAKEN_LEAD_MS + 80
    assert TAKEN_LEAD_MS < MAX_LEAD_MS / 2  # he presses on
    assert 2 * Settings().lead_ms < TAKEN_LEAD_MS  # and comes behind all who have the usual lead
    said.close()


async def test_who_takes_nothing_is_not_made_anything(worker: Worker, engine: FakeEngine) -> None:
    said = await speech(worker, LONG)
    await engine.until(lambda: any(each.lead_ms > each.enough_ms for each in engine.utterances))
    assert not engine.schedule()
    assert said.untaken_ms < MAX_LEAD_MS / 2 + 160
    said.close()


def test_options_are_the_model_s_own_unless_given() -> None:
    options = SpeechOptions(Voice.__new__(Voice))
    assert (options.temperature, options.seed, options.manner) == (None, None, Manner())

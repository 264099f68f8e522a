"""`SpeechStream` with a fake model and the real scheduler."""

import asyncio
from collections.abc import AsyncIterator

import numpy as np
import pytest

from sayline_tts.engine.audio.recording import to_pcm
from sayline_tts.engine.checkpoint.alignment_heads import AlignmentHeads
from sayline_tts.engine.errors import Full, TextError
from sayline_tts.engine.models.voice import Voice
from sayline_tts.engine.scheduling.utterance import Status
from sayline_tts.server.audio.formats import Encoder, new_encoder
from sayline_tts.server.http.speech import (
    MAX_LEAD_MS,
    READ_LEAD_MS,
    ShuttingDown,
    SpeechFailed,
    SpeechOptions,
    SpeechStream,
)
from sayline_tts.server.metrics import Metrics
from sayline_tts.server.settings import Settings
from sayline_tts.server.synthesis.engine_loop import EngineLoop
from sayline_tts.server.synthesis.text_options import TextOptions
from tests.server.fakes import FakeEngine, frame

LONG = "word " * 500


@pytest.fixture
async def engine_loop(engine: FakeEngine) -> AsyncIterator[EngineLoop]:
    engine_loop = EngineLoop(engine, Metrics())
    engine_loop.start()
    yield engine_loop
    await engine_loop.stop()


async def speech(
    engine_loop: EngineLoop, text: str, speed: float = 1.0, encoder: Encoder | None = None
) -> SpeechStream:
    options = SpeechOptions(await engine_loop.voice("ann"), seed=5, text_options=TextOptions(speed=speed))
    return SpeechStream(
        engine_loop, Settings(), text, options, encoder or new_encoder("pcm", None, 24_000, speed=speed)
    )


async def test_text_gives_frames_then_ends(engine_loop: EngineLoop, engine: FakeEngine) -> None:
    stream = await speech(engine_loop, "Hello there. Good bye.")
    frames = [data async for data in stream]
    assert frames == [to_pcm(frame(5, number)) for number in [*range(4), *range(4, 8)]]
    assert (stream.frames, stream.status, stream.unread_ms) == (8, Status.FINISHED, 0)
    assert stream.text_tokens > 0
    assert stream.first_audio_ms is not None
    assert [data async for data in stream] == []
    stream.close()
    assert stream.status is Status.FINISHED


async def test_words_that_the_model_left_out_are_counted(engine_loop: EngineLoop, engine: FakeEngine) -> None:
    engine.fake_model.heads, engine.runner.skipped_words = AlignmentHeads(((0, 0),)), {1}
    stream = await speech(engine_loop, "Hello there you.")
    assert len([data async for data in stream]) == 6
    assert stream.missed_words == 1


async def test_encoder_is_flushed_at_the_end(engine_loop: EngineLoop) -> None:
    stream = await speech(engine_loop, "One two three four.", speed=2.0)
    assert sum([len(data) async for data in stream]) == pytest.approx(48_000 * 0.32, abs=100)


async def test_pause_gives_silence_of_its_length(engine_loop: EngineLoop) -> None:
    stream = await speech(engine_loop, "Hello. [pause:0.8] Bye.")
    sound = np.frombuffer(b"".join([data async for data in stream]), "<i2")
    assert len(sound) == 1920 * (2 + 10 + 2)
    assert not sound[1920 * 2 : 1920 * 12].any()


async def test_close_stops_generation(engine_loop: EngineLoop, engine: FakeEngine) -> None:
    with await speech(engine_loop, LONG) as stream:
        await anext(stream)
    steps = engine.runner.steps
    await engine.wait_until(lambda: engine.running == 0)
    assert engine.runner.steps <= steps + 1
    assert stream.status is Status.CANCELLED
    assert stream.unread_ms >= 0
    assert [data async for data in stream] == []


async def test_text_without_words_raises(engine_loop: EngineLoop, engine: FakeEngine) -> None:
    with pytest.raises(TextError, match="no word to speak"):
        await anext(await speech(engine_loop, "... !!"))
    await engine.wait_until(lambda: engine.running == 0)


async def test_failed_step_raises(engine_loop: EngineLoop, engine: FakeEngine) -> None:
    stream = await speech(engine_loop, LONG)
    await anext(stream)
    engine.runner.next_error = RuntimeError("broken")
    with pytest.raises(SpeechFailed):
        async for _ in stream:
            pass
    assert stream.status is Status.FAILED


async def test_shutdown_raises(engine: FakeEngine) -> None:
    engine.runner.decode_queue.hold()
    engine_loop = EngineLoop(engine, Metrics())
    engine_loop.start()
    stream = await speech(engine_loop, LONG)
    waiting = asyncio.ensure_future(anext(stream))
    await engine.wait_scheduled()
    await engine_loop.stop()
    with pytest.raises(ShuttingDown):
        await waiting


async def test_full_engine_raises_instead_of_queueing() -> None:
    engine = FakeEngine(slots=1)
    engine.runner.may_step.clear()
    engine_loop = EngineLoop(engine, Metrics())
    engine_loop.start()
    with await speech(engine_loop, LONG):
        with pytest.raises(Full):
            await speech(engine_loop, LONG)
        engine.runner.may_step.set()
    await engine_loop.stop()


async def test_fast_reader_is_not_paced_and_has_lower_priority_than_live_listeners(
    engine_loop: EngineLoop, engine: FakeEngine
) -> None:
    """Even far ahead of real time, the lead stays below half of the bound, so generation continues."""
    stream = await speech(engine_loop, LONG)
    for _ in range(800):
        await anext(stream)
    (utterance,) = engine.utterances
    assert stream.frames * 80 > 60_000
    assert utterance.lead_ms - stream.unread_ms <= READ_LEAD_MS + 80
    assert READ_LEAD_MS < MAX_LEAD_MS / 2  # so it keeps asking for steps
    assert 2 * Settings().lead_ms < READ_LEAD_MS  # after all listeners with the default lead
    stream.close()


async def test_generation_pauses_when_nothing_is_read(engine_loop: EngineLoop, engine: FakeEngine) -> None:
    stream = await speech(engine_loop, LONG)
    await engine.wait_until(lambda: any(each.lead_ms > each.buffer.low_water_ms for each in engine.utterances))
    assert not engine.schedule()
    assert stream.unread_ms < MAX_LEAD_MS / 2 + 160
    stream.close()


def test_options_default_to_the_models() -> None:
    options = SpeechOptions(Voice.__new__(Voice))
    assert (options.temperature, options.seed, options.text_options) == (None, None, TextOptions())

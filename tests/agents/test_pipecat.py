"""Pipecat's own pipeline, aggregator and `TTSService`; a scripted server on a real socket."""

import asyncio
from collections.abc import AsyncIterator
from functools import partial
from typing import Any

import pytest

pytest.importorskip("pipecat", reason="pipecat-ai is in an environment of its own: tests/agents/constraints.txt")

from pipecat.frames.frames import (
    InterruptionFrame,
    LLMFullResponseEndFrame,
    LLMTextFrame,
    TTSAudioRawFrame,
    TTSSpeakFrame,
    TTSStartedFrame,
    TTSStoppedFrame,
    TTSTextFrame,
    TTSUpdateSettingsFrame,
)
from pipecat.services.tts_service import TextAggregationMode
from pipecat.transcriptions.language import Language
from sayline import Cancelled
from sayline.agents.pipecat import SaylineTTSService
from sayline.agents.playout import Playout

from tests.agents.pipeline import WAIT_S, Clock, Talk, only
from tests.clients.scripted import TONE, ScriptedServer


@pytest.fixture
async def scripted() -> AsyncIterator[ScriptedServer]:
    async with ScriptedServer() as server:
        yield server


def service(scripted: ScriptedServer, clock: Clock, **options: Any) -> SaylineTTSService:
    made = SaylineTTSService(url=scripted.url, **options)
    made._playout = Playout(clock.now_s)
    return made


def kinds(scripted: ScriptedServer) -> list[str]:
    return [message["type"] for message in scripted.received]


async def test_tokens_are_streamed_and_return_as_audio_and_words(scripted: ScriptedServer) -> None:
    clock = Clock()
    tokens = ["One", " two", ". Three", " **four**", " $5."]
    async with Talk(service(scripted, clock), clock) as talk:
        await talk.answer(*tokens)
        await talk.until_kind(TTSStoppedFrame)
        await talk.loudspeaker.play(1000)
    frames = talk.loudspeaker.frames
    assert [message["text"] for message in scripted.received if message["type"] == "text"] == tokens
    assert kinds(scripted) == ["start", "text", "text", "text", "text", "text", "end"]
    assert [frame.audio for frame in only(TTSAudioRawFrame, frames)] == [TONE] * 5
    assert {frame.sample_rate for frame in only(TTSAudioRawFrame, frames)} == {24_000}
    words = only(TTSTextFrame, frames)
    assert [word.text for word in words] == ["One", "two.", "Three", "**four**", "$5."]
    assert [round((word.pts or 0) / 1_000_000) for word in words] == [1000, 1080, 1160, 1240, 1320]
    assert talk.remembered() == ["One two. Three **four** $5."]


async def test_interruption_cancels_at_the_playback_position_and_updates_the_context(scripted: ScriptedServer) -> None:
    clock = Clock()
    made = service(scripted, clock)
    heard: asyncio.Queue[Cancelled] = asyncio.Queue()
    made.add_event_handler("on_heard", lambda _, told: heard.put_nowait(told))
    async with Talk(made, clock) as talk:
        await talk.begin("One two three four. ", "Five six", " seven")
        await talk.until_kind(TTSAudioRawFrame, 4)
        await talk.loudspeaker.play(130)
        await talk.give(InterruptionFrame())
        told = await asyncio.wait_for(heard.get(), WAIT_S)
        assert scripted.received[-1] == {"type": "cancel", "context_id": "speech-1", "played_ms": pytest.approx(130)}
        assert (told.heard_text, told.unheard_text) == ("One two", " three four. Five six seven")
        assert talk.remembered() == ["One two"]
        await talk.answer("Yes?")
        await talk.until_kind(TTSStoppedFrame)
        assert scripted.texts("speech-2") == "Yes?"


def cancelled(times: int, received: list[dict[str, Any]]) -> bool:
    return [message["type"] for message in received].count("cancel") == times


async def test_interrupted_turn_does_not_delay_the_next(scripted: ScriptedServer) -> None:
    clock = Clock()
    async with Talk(service(scripted, clock), clock) as talk:
        for turn in (1, 2):
            await talk.begin("One two three four five. ", "Six")
            await talk.until_kind(TTSAudioRawFrame, 5 * turn)
            await talk.loudspeaker.play(100)
            await talk.give(InterruptionFrame())
            await scripted.until(partial(cancelled, turn))
    assert [round(m["played_ms"]) for m in scripted.received if m["type"] == "cancel"] == [100, 100]


async def test_late_playback_start_is_respected(scripted: ScriptedServer) -> None:
    clock = Clock()
    async with Talk(service(scripted, clock), clock) as talk:
        talk.loudspeaker.late_ms = 300
        await talk.begin("One two three four. ", "Five six")
        await talk.until_kind(TTSAudioRawFrame, 4)
        await talk.loudspeaker.play(130)
        await talk.give(InterruptionFrame())
        await scripted.until_last("cancel")
    assert scripted.received[-1]["played_ms"] == pytest.approx(130)


async def test_fully_sent_but_unheard_text_is_reported(scripted: ScriptedServer) -> None:
    clock = Clock()
    made = service(scripted, clock)
    heard: asyncio.Queue[Cancelled] = asyncio.Queue()
    made.add_event_handler("on_heard", lambda _, told: heard.put_nowait(told))
    async with Talk(made, clock) as talk:
        await talk.answer("One two three four.")
        await talk.until_kind(TTSStoppedFrame)
        await talk.loudspeaker.play(210)
        await talk.give(InterruptionFrame())
        told = await asyncio.wait_for(heard.get(), WAIT_S)
    assert (told.heard_text, told.unheard_text) == ("One two three", " four.")
    assert "cancel" not in kinds(scripted)


async def test_completed_turn_is_not_interrupted(scripted: ScriptedServer) -> None:
    clock = Clock()
    made = service(scripted, clock)
    heard: list[Cancelled] = []
    made.add_event_handler("on_heard", lambda _, told: heard.append(told))
    async with Talk(made, clock) as talk:
        await talk.answer("One two.")
        await talk.until_kind(TTSStoppedFrame)
        await talk.loudspeaker.play(1000)
        await talk.give(InterruptionFrame())
        await talk.until_kind(InterruptionFrame)
        await talk.answer("Three.")
        await talk.until_kind(TTSStoppedFrame, 2)
    assert heard == []


async def test_uninterruptible_speech_continues(scripted: ScriptedServer) -> None:
    clock = Clock()
    made = service(scripted, clock)
    heard: list[Cancelled] = []
    made.add_event_handler("on_heard", lambda _, told: heard.append(told))
    warning = TTSSpeakFrame("One two three.")
    warning.interruptible = False
    async with Talk(made, clock) as talk:
        await talk.give(warning)
        await talk.until_kind(TTSStoppedFrame)
        await talk.give(InterruptionFrame())
        await talk.until_kind(InterruptionFrame)
        await talk.answer("Four.")
        await talk.until_kind(TTSStoppedFrame, 2)
    assert (heard, "cancel" in kinds(scripted)) == ([], False)


async def test_turns_are_separate_contexts_in_order(scripted: ScriptedServer) -> None:
    clock = Clock()
    async with Talk(service(scripted, clock), clock) as talk:
        await talk.give(TTSSpeakFrame("One."), TTSSpeakFrame("Two three."))
        await talk.answer("Four.")
        await talk.until_kind(TTSStoppedFrame, 3)
    order = [frame.context_id for frame in only(TTSAudioRawFrame, talk.loudspeaker.frames)]
    assert order == sorted(order, key=[f.context_id for f in only(TTSStartedFrame, talk.loudspeaker.frames)].index)
    assert [scripted.texts(f"speech-{n}") for n in (1, 2, 3)] == ["One.", "Two three.", "Four."]


async def test_sentences_are_separated_by_spaces(scripted: ScriptedServer) -> None:
    clock = Clock()
    made = service(scripted, clock, text_aggregation_mode=TextAggregationMode.SENTENCE)
    async with Talk(made, clock) as talk:
        await talk.answer("One two. ", "Three.", " Four.")
        await talk.until_kind(TTSStoppedFrame)
        await talk.loudspeaker.play(1000)
    assert scripted.texts() == "One two. Three. Four. "
    assert talk.remembered() == ["One two. Three. Four."]


async def test_settings_apply_to_the_next_turn(scripted: ScriptedServer) -> None:
    clock = Clock()
    made = service(scripted, clock, settings=SaylineTTSService.Settings(voice="angus", language=Language.EN_GB))
    async with Talk(made, clock) as talk:
        await talk.answer("One.")
        await talk.give(TTSUpdateSettingsFrame(delta=SaylineTTSService.Settings(voice="clara", speed=1.5)))
        await talk.answer("Two.")
        await talk.until_kind(TTSStoppedFrame, 2)
    first, second = (message for message in scripted.received if message["type"] == "start")
    assert (first["voice"], first["language"], "speed" in first) == ("angus", "en", False)
    assert (second["voice"], second["language"], second["speed"]) == ("clara", "en", 1.5)


async def test_failed_turn_is_reported_and_the_next_speaks(scripted: ScriptedServer) -> None:
    clock = Clock()
    made = service(scripted, clock, settings=SaylineTTSService.Settings(voice="nobody"))
    async with Talk(made, clock) as talk:
        await talk.answer("One.", " Two.", " Three.")
        await talk.give(TTSUpdateSettingsFrame(delta=SaylineTTSService.Settings(voice="clara")))
        await talk.answer("Four.")
        await talk.until_kind(TTSAudioRawFrame)
    assert talk.errors[0] == "no voice of that name; there are: clara, angus"
    assert [message["voice"] for message in scripted.received if message["type"] == "start"] == ["nobody", "clara"]


async def test_failure_in_the_middle_ends_the_turn(scripted: ScriptedServer) -> None:
    clock = Clock()
    async with Talk(service(scripted, clock), clock) as talk:
        await talk.begin("One explode. ", "Two")
        await talk.until_error()
        await talk.give(LLMTextFrame(" three."), LLMFullResponseEndFrame())
        await talk.until_kind(TTSStoppedFrame)
        await talk.answer("Four.")
        await talk.until_kind(TTSStoppedFrame, 2)
    assert (len(talk.errors), scripted.texts("speech-2")) == (1, "Four.")


async def test_unreachable_server_is_reported_and_retried(scripted: ScriptedServer) -> None:
    clock = Clock()
    scripted.api_key = "secret"
    async with Talk(service(scripted, clock), clock) as talk:
        await talk.answer("One.", " Two.")
        await talk.until_kind(TTSStoppedFrame)
        scripted.api_key = None
        await talk.answer("Three.")
        await talk.until_kind(TTSAudioRawFrame)
    assert len([error for error in talk.errors if "key" in error]) == 2  # at the start, and for the turn
    assert scripted.texts() == "Three."


async def test_lost_connection_is_replaced_without_repetition(scripted: ScriptedServer) -> None:
    clock = Clock()
    async with Talk(service(scripted, clock), clock) as talk:
        await talk.answer("One two hangup three. ", "Four.")
        await talk.until_kind(TTSStoppedFrame)
        await talk.loudspeaker.play(1000)
    words = [word.text for word in only(TTSTextFrame, talk.loudspeaker.frames)]
    assert words == ["One", "two", "hangup three.", "Four."]  # the scripted server tells no `hangup`
    assert (len(only(TTSAudioRawFrame, talk.loudspeaker.frames)), len(scripted.connections)) == (4, 2)


async def test_idle_closed_session_is_reopened(scripted: ScriptedServer) -> None:
    clock = Clock()
    async with Talk(service(scripted, clock), clock) as talk:
        await scripted.connections[0].close(4000, "idle")
        await talk.answer("One.")
        await talk.until_kind(TTSStoppedFrame)
    assert (talk.errors, len(scripted.connections)) == ([], 2)


async def test_cancelled_pipeline_closes_the_session(scripted: ScriptedServer) -> None:
    clock = Clock()
    async with Talk(service(scripted, clock), clock) as talk:
        await talk.begin("One two three. ")
        await talk.until_kind(TTSAudioRawFrame)
        await talk.cancel()
        await asyncio.wait_for(scripted.connections[0].wait_closed(), WAIT_S)
    assert scripted.connections[0].close_code == 1000


async def test_end_frame_flushes_the_current_turn(scripted: ScriptedServer) -> None:
    clock = Clock()
    async with Talk(service(scripted, clock), clock) as talk:
        await talk.begin("One two three")
    assert len(only(TTSAudioRawFrame, talk.loudspeaker.frames)) == 3
    assert kinds(scripted) == ["start", "text", "end"]

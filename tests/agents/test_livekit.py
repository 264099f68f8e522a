"""LiveKit's own session and streams; a scripted server on a real socket."""

import asyncio
from collections.abc import AsyncIterator

import pytest

pytest.importorskip("livekit", reason="livekit-agents is in an environment of its own: tests/agents/constraints.txt")

from livekit import rtc
from livekit.agents import APIConnectionError, APIConnectOptions, APIError, APIStatusError
from livekit.agents.types import USERDATA_TIMED_TRANSCRIPT, TimedString
from sayline import Cancelled
from sayline.agents import livekit as adapter
from sayline.agents.livekit import TTS

from tests.agents.call import WAIT_S, Call
from tests.clients.scripted import TONE, ScriptedServer

ONCE = APIConnectOptions(max_retry=0)


@pytest.fixture
async def scripted() -> AsyncIterator[ScriptedServer]:
    async with ScriptedServer() as server:
        yield server


@pytest.fixture
async def voice(scripted: ScriptedServer) -> AsyncIterator[TTS]:
    made = TTS(scripted.url, voice="clara")
    async with made:
        yield made


def kinds(scripted: ScriptedServer) -> list[str]:
    return [message["type"] for message in scripted.received]


def heard_by(voice: TTS) -> asyncio.Queue[Cancelled]:
    heard: asyncio.Queue[Cancelled] = asyncio.Queue()
    voice.on("heard", heard.put_nowait)
    return heard


async def test_tokens_are_streamed_and_return_as_audio_and_timed_words(scripted: ScriptedServer, voice: TTS) -> None:
    words: list[TimedString] = []
    async with voice.stream(conn_options=ONCE) as stream:
        stream.push_text("One")
        stream.push_text(" two. Thr")
        await scripted.until_text(" two. Thr")
        stream.push_text("ee. ")
        stream.end_input()
        events = [event async for event in stream]
    for event in events:
        words += event.frame.userdata.get(USERDATA_TIMED_TRANSCRIPT, [])
    assert b"".join(bytes(event.frame.data) for event in events) == TONE * 3
    assert {event.frame.sample_rate for event in events} == {24_000}
    assert [event.is_final for event in events][-1]
    assert words == ["One", " two.", " Three.", " "]
    assert [(word.start_time, word.end_time) for word in words[:3]] == [(0.0, 0.08), (0.08, 0.16), (0.16, 0.24)]
    assert kinds(scripted) == ["start", "text", "text", "text", "end"]
    assert scripted.received[0]["voice"] == "clara"


async def test_flush_is_forwarded(scripted: ScriptedServer, voice: TTS) -> None:
    async with voice.stream(conn_options=ONCE) as stream:
        stream.push_text("One")
        stream.flush()
        await scripted.until_text("One")
        stream._num_segments = 0  # or LiveKit would drop what follows: it wants a stream for each segment by now
        stream.push_text(" two")
        stream.end_input()
        assert [event async for event in stream]
    assert kinds(scripted) == ["start", "text", "flush", "text", "end"]


async def test_complete_text_is_spoken(voice: TTS) -> None:
    frame = await voice.synthesize("One two.", conn_options=ONCE).collect()
    assert bytes(frame.data)[: 2 * len(TONE)] == TONE * 2  # LiveKit may add 10 ms of silence


async def test_empty_text_opens_no_context(scripted: ScriptedServer, voice: TTS) -> None:
    async with voice.stream(conn_options=ONCE) as stream:
        stream.push_text(" ")
        stream.flush()
        stream._pushed_text = ""  # a blank text without sound is no error to us
        stream.end_input()
        assert [event async for event in stream] == []
    assert scripted.received == []


async def test_options_apply_to_the_next_context(scripted: ScriptedServer, voice: TTS) -> None:
    voice.update_options(voice="angus", speed=1.5)
    await voice.synthesize("One.", conn_options=ONCE).collect()
    assert (scripted.received[0]["voice"], scripted.received[0]["speed"]) == ("angus", 1.5)


async def test_prewarm_opens_the_session(scripted: ScriptedServer, voice: TTS) -> None:
    voice.prewarm()
    await scripted.connected(1)
    await voice.synthesize("One.", conn_options=ONCE).collect()
    assert len(scripted.connections) == 1


async def test_idle_closed_session_is_reopened(scripted: ScriptedServer, voice: TTS) -> None:
    await voice.server.connect()
    await scripted.connections[0].close(4000, "idle")
    await voice.synthesize("One.", conn_options=ONCE).collect()
    assert len(scripted.connections) == 2


@pytest.mark.parametrize(
    ("text", "options", "kind", "retryable"),
    [
        ("One explode two.", {}, APIStatusError, True),
        ("One.", {"voice": "nobody"}, APIStatusError, False),
        ("One damage two.", {}, APIError, True),
    ],
)
async def test_errors_are_mapped_to_livekit_errors(
    voice: TTS, text: str, options: dict[str, str], kind: type[APIError], retryable: bool
) -> None:
    voice.update_options(**options)
    with pytest.raises(kind) as raised:
        await voice.synthesize(text, conn_options=ONCE).collect()
    assert (type(raised.value), raised.value.retryable) == (kind, retryable)


async def test_unreachable_server_is_retried(scripted: ScriptedServer, voice: TTS) -> None:
    scripted.api_key = "secret"
    voice.on("error", lambda _: setattr(scripted, "api_key", None))
    frame = await voice.synthesize("One.", conn_options=APIConnectOptions(retry_interval=0)).collect()
    assert bytes(frame.data)[: len(TONE)] == TONE


async def test_unreachable_server_is_a_connection_error(scripted: ScriptedServer, voice: TTS) -> None:
    scripted.api_key = "secret"
    with pytest.raises(APIConnectionError, match="key"):
        await voice.synthesize("One.", conn_options=ONCE).collect()


async def test_interruption_cancels_at_the_playback_position_and_updates_the_context(
    scripted: ScriptedServer, voice: TTS
) -> None:
    heard = heard_by(voice)
    async with Call(voice) as call:
        voice.follow(call.session)
        handle = call.say("One two three four. ", "Five ", "six seven")
        await call.loudspeaker.until(240)
        call.loudspeaker.played_s = 0.13
        handle.interrupt()
        told = await asyncio.wait_for(heard.get(), WAIT_S)
        await handle.wait_for_playout()
        assert call.remembered() == ["One two"]
    assert (told.heard_text, told.unheard_text[:11]) == ("One two", " three four")
    assert "cancel" in kinds(scripted) or told.duration_ms == 7 * 80


async def test_interruption_cancels_unfinished_text(scripted: ScriptedServer, voice: TTS) -> None:
    heard = heard_by(voice)
    async with Call(voice) as call:
        voice.follow(call.session)
        more = asyncio.Event()

        async def tokens() -> AsyncIterator[str]:
            yield "One two three four. "
            yield "Five six"
            await more.wait()

        handle = call.session.say(tokens())
        await call.loudspeaker.until(240)
        call.loudspeaker.played_s = 0.13
        handle.interrupt()
        told = await asyncio.wait_for(heard.get(), WAIT_S)
        await handle.wait_for_playout()
        assert call.remembered() == ["One two"]
        await asyncio.gather(*voice._tasks)
        assert heard.empty()  # once is enough
    assert {"type": "cancel", "context_id": "speech-1", "played_ms": 130.0} in scripted.received
    assert (told.heard_text, told.unheard_text) == ("One two", " three four. Five")


async def test_completed_speech_is_kept_completely(scripted: ScriptedServer, voice: TTS) -> None:
    async with Call(voice, use_tts_aligned_transcript=True) as call:
        voice.follow(call.session)
        handle = call.say("One **two** three, ", "$5. ")
        await call.loudspeaker.until(320)
        call.loudspeaker.play_out()
        await handle.wait_for_playout()
        assert [text.strip() for text in call.remembered()] == ["One two three, $5."]
        assert call.captions.text.strip() == "One two three, $5."
    assert "cancel" not in kinds(scripted)


async def test_playback_of_other_sources_is_ignored(scripted: ScriptedServer, voice: TTS) -> None:
    async with Call(voice) as call:
        voice.follow(call.session)
        handle = call.say("One two.")
        await call.loudspeaker.until(160)
        call.loudspeaker.play_out()
        await handle.wait_for_playout()
        handle = call.session.say("A jingle.", audio=jingle())
        await call.loudspeaker.until(320)
        handle.interrupt()
        await handle.wait_for_playout()
        assert "One two." not in call.remembered()[1:]


async def jingle() -> AsyncIterator[rtc.AudioFrame]:
    yield rtc.AudioFrame(TONE * 2, 24_000, 1, 3840)
    await asyncio.Event().wait()


async def test_abandoned_speech_is_cancelled_without_an_agent_session(scripted: ScriptedServer, voice: TTS) -> None:
    heard = heard_by(voice)
    scripted.hold.clear()
    async with voice.stream(conn_options=ONCE) as stream:
        stream.push_text("One two.")
        await scripted.until_text("One two.")
    told = await asyncio.wait_for(heard.get(), WAIT_S)
    assert (told.heard_text, told.unheard_text) == ("", "One two.")
    assert scripted.received[-1] == {"type": "cancel", "context_id": "speech-1"}


async def test_unplayed_speech_is_reported_as_unheard(
    scripted: ScriptedServer, voice: TTS, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(adapter, "PLAYBACK_REPORT_TIMEOUT_S", 0.0)
    heard = heard_by(voice)
    async with Call(voice) as call:
        voice.follow(call.session)
        async with voice.stream(conn_options=ONCE) as stream:
            stream.push_text("One two. Three")
            await anext(stream)
        told = await asyncio.wait_for(heard.get(), WAIT_S)
    assert told.heard_text == ""
    assert scripted.received[-1]["played_ms"] == 0.0

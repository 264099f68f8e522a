"""LiveKit's own session and streams; a scripted server over a real socket."""

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


async def test_tokens_go_out_as_they_come_and_come_back_as_sound_and_timed_words(
    scripted: ScriptedServer, voice: TTS
) -> None:
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


async def test_a_flush_in_the_middle_is_passed_on(scripted: ScriptedServer, voice: TTS) -> None:
    async with voice.stream(conn_options=ONCE) as stream:
        stream.push_text("One")
        stream.flush()
        await scripted.until_text("One")
        stream._num_segments = 0  # or LiveKit would drop what follows: it wants a stream for each segment by now
        stream.push_text(" two")
        stream.end_input()
        assert [event async for event in stream]
    assert kinds(scripted) == ["start", "text", "flush", "text", "end"]


async def test_a_whole_text_is_spoken_too(voice: TTS) -> None:
    frame = await voice.synthesize("One two.", conn_options=ONCE).collect()
    assert bytes(frame.data)[: 2 * len(TONE)] == TONE * 2  # LiveKit may add 10 ms of silence


async def test_nothing_to_say_opens_nothing(scripted: ScriptedServer, voice: TTS) -> None:
    async with voice.stream(conn_options=ONCE) as stream:
        stream.push_text(" ")
        stream.flush()
        stream._pushed_text = ""  # a blank text without sound is no error to us
        stream.end_input()
        assert [event async for event in stream] == []
    assert scripted.received == []


async def test_options_hold_from_the_next_answer_on(scripted: ScriptedServer, voice: TTS) -> None:
    voice.update_options(voice="angus", speed=1.5)
    await voice.synthesize("One.", conn_options=ONCE).collect()
    assert (scripted.received[0]["voice"], scripted.received[0]["speed"]) == ("angus", 1.5)


async def test_a_session_is_there_before_the_first_word(scripted: ScriptedServer, voice: TTS) -> None:
    voice.prewarm()
    await scripted.connected(1)
    await voice.synthesize("One.", conn_options=ONCE).collect()
    assert len(scripted.connections) == 1


async def test_a_session_that_was_closed_in_a_silence_is_opened_again(scripted: ScriptedServer, voice: TTS) -> None:
    await voice.line.connect()
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
async def test_what_goes_wrong_is_an_error_that_livekit_knows(
    voice: TTS, text: str, options: dict[str, str], kind: type[APIError], retryable: bool
) -> None:
    voice.update_options(**options)
    with pytest.raises(kind) as raised:
        await voice.synthesize(text, conn_options=ONCE).collect()
    assert (type(raised.value), raised.value.retryable) == (kind, retryable)


async def test_a_server_that_is_not_there_is_tried_again(scripted: ScriptedServer, voice: TTS) -> None:
    scripted.api_key = "secret"
    voice.on("error", lambda _: setattr(scripted, "api_key", None))
    frame = await voice.synthesize("One.", conn_options=APIConnectOptions(retry_interval=0)).collect()
    assert bytes(frame.data)[: len(TONE)] == TONE


async def test_no_server_at_all_is_an_error_of_the_connection(scripted: ScriptedServer, voice: TTS) -> None:
    scripted.api_key = "secret"
    with pytest.raises(APIConnectionError, match="key"):
        await voice.synthesize("One.", conn_options=ONCE).collect()


async def test_an_interruption_cancels_where_the_listener_was_and_that_is_remembered(
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


async def test_an_interruption_of_what_is_still_being_written_cancels_it(scripted: ScriptedServer, voice: TTS) -> None:
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


async def test_what_plays_to_its_end_is_remembered_whole(scripted: ScriptedServer, voice: TTS) -> None:
    async with Call(voice, use_tts_aligned_transcript=True) as call:
        voice.follow(call.session)
        handle = call.say("One **two** three, ", "$5. ")
        await call.loudspeaker.until(320)
        call.loudspeaker.play_out()
        await handle.wait_for_playout()
        assert [text.strip() for text in call.remembered()] == ["One two three, $5."]
        assert call.captions.text.strip() == "One two three, $5."
    assert "cancel" not in kinds(scripted)


async def test_what_others_play_is_none_of_our_business(scripted: ScriptedServer, voice: TTS) -> None:
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


async def test_speech_that_nobody_wants_is_cancelled_without_a_session(scripted: ScriptedServer, voice: TTS) -> None:
    heard = heard_by(voice)
    scripted.hold.clear()
    async with voice.stream(conn_options=ONCE) as stream:
        stream.push_text("One two.")
        await scripted.until_text("One two.")
    told = await asyncio.wait_for(heard.get(), WAIT_S)
    assert (told.heard_text, told.unheard_text) == ("", "One two.")
    assert scripted.received[-1] == {"type": "cancel", "context_id": "speech-1"}


async def test_what_was_never_played_was_not_heard(
    scripted: ScriptedServer, voice: TTS, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(adapter, "PLAYOUT_S", 0.0)
    heard = heard_by(voice)
    async with Call(voice) as call:
        voice.follow(call.session)
        async with voice.stream(conn_options=ONCE) as stream:
            stream.push_text("One two. Three")
            await anext(stream)
        told = await asyncio.wait_for(heard.get(), WAIT_S)
    assert told.heard_text == ""
    assert scripted.received[-1]["played_ms"] == 0.0

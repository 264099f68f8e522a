"""`Player` with a scripted server and a fake audio device."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass

import pytest
import sayline

from tests.clients.devices import FakeDevice, Watch
from tests.clients.scripted import TONE, ScriptedServer

TEN_MS = 10
FADED = 5 * 24 * 2  # bytes at the end that are quieter


@dataclass
class Room:
    """A server, a session with it, and a player."""

    scripted: ScriptedServer
    server: sayline.Session
    device: FakeDevice
    player: sayline.Player

    def acks(self) -> list[float]:
        return [message["played_ms"] for message in self.scripted.received if message["type"] == "ack"]

    async def until_acks(self, count: int) -> None:
        await self.scripted.until(lambda _: len(self.acks()) >= count)

    async def play_all(self, playing: "asyncio.Task[sayline.Cancelled]") -> sayline.Cancelled:
        async with asyncio.timeout(10):
            while not playing.done():
                if self.device.sample_rate_hz:
                    self.device.play(TEN_MS)
                await asyncio.sleep(0)
        return playing.result()


@pytest.fixture
async def room() -> AsyncIterator[Room]:
    device = FakeDevice()
    async with (
        ScriptedServer() as scripted,
        sayline.connect(scripted.url) as server,
        sayline.Player(device) as player,
    ):
        yield Room(scripted, server, device, player)


async def test_play_returns_the_heard_text_at_the_end(room: Room) -> None:
    async with room.server.context(format="pcm") as speech:
        speech.feed("one two three.")
        watch = Watch()
        playing = asyncio.create_task(room.player.play(speech, watch))
        await watch.until(sayline.Done)
        assert room.player.lead_ms == 240
        room.device.play(240)
        await asyncio.sleep(0)
        assert (playing.done(), room.player.played_ms) == (False, 220)  # the rest has not left the device
        room.device.play(20)
        heard = await playing
    assert (heard.heard_text, heard.unheard_text, heard.duration_ms) == ("one two three.", "", 240)
    assert room.device.heard[: len(TONE) * 3 - FADED] == (TONE * 3)[:-FADED]
    assert not any(room.device.heard[len(TONE) * 3 :])
    assert (room.player.played_ms, room.player.underruns) == (240, 0)
    assert [type(event).__name__ for event in watch.events] == [*["Word", "Frame"] * 3, "Segment", "Done"]


async def test_opus_context_is_played(room: Room) -> None:
    async with room.server.context() as speech:
        speech.feed("one two three.")
        watch = Watch()
        playing = asyncio.create_task(room.player.play(speech, watch))
        await watch.until(sayline.Done)
        heard = await room.play_all(playing)
    assert room.scripted.received[0]["format"] == "opus"
    assert heard.heard_text == "one two three."
    assert room.player.played_ms == 240 - 6.5


async def test_player_acks_about_once_a_second(room: Room) -> None:
    async with room.server.context(format="pcm") as speech:
        await speech.push("word " * 30 + "end. ")
        watch = Watch()
        playing = asyncio.create_task(room.player.play(speech, watch))
        await watch.until(sayline.Segment)
        for seconds in (1, 2):
            for _ in range(100):
                room.device.play(TEN_MS)
            await room.until_acks(seconds)
        assert room.acks() == [980, 1980]
        await speech.end()
        await room.play_all(playing)


async def test_pause_stops_the_server(room: Room) -> None:
    async with room.server.context(format="pcm") as speech:
        await speech.push("word " * 30 + "end. ")
        watch = Watch()
        playing = asyncio.create_task(room.player.play(speech, watch))
        await watch.until(sayline.Segment)
        room.device.play(500)
        room.player.pause()
        await room.until_acks(1)
        for seconds in (2, 3):
            room.device.play(1000)
            await room.until_acks(seconds)
        assert room.acks() == [480, 505, 505]  # 20 ms were still in the device, and it fades for 5
        room.player.resume()
        await room.until_acks(4)
        room.device.play(100)
        assert room.player.played_ms == 585
        await speech.end()
        await room.play_all(playing)


async def test_cancel_stops_playback_and_returns_the_heard_text(room: Room) -> None:
    async with room.server.context(format="pcm") as speech:
        await speech.push("one two three four. ")
        watch = Watch()
        playing = asyncio.create_task(room.player.play(speech, watch))
        await watch.until(sayline.Segment)
        room.device.play(130)
        heard = await room.player.cancel()
        assert (heard.heard_text, heard.unheard_text) == ("one two", " three four. ")
        assert room.scripted.received[-1] == {"type": "cancel", "context_id": "speech-1", "played_ms": 135}
        faded = room.device.play(20)
        assert any(faded[:FADED])
        assert not any(faded[FADED:])
        assert await room.play_all(playing) == heard
        assert await room.player.cancel() == heard


async def test_cancel_after_the_end_returns_all_text_as_heard(room: Room) -> None:
    with pytest.raises(sayline.SaylineError, match="call `play` first"):
        await room.player.cancel()
    async with room.server.context() as speech:
        speech.feed("one two.")
        heard = await room.play_all(asyncio.create_task(room.player.play(speech)))
        assert await room.player.cancel() == heard
    assert heard.heard_text == "one two."


async def test_contexts_are_played_in_turn(room: Room) -> None:
    async with room.server.context(format="pcm") as one, room.server.context(format="pcm") as two:
        one.feed("one two.")
        two.feed("three.")
        first, second = (asyncio.create_task(room.player.play(speech)) for speech in (one, two))
        assert (await room.play_all(first)).heard_text == "one two."
        assert (await room.play_all(second)).heard_text == "three."
    assert room.device.openings == 1


async def test_next_context_waits_for_the_previous_fade_out(room: Room) -> None:
    async with room.server.context(format="pcm") as one, room.server.context(format="pcm") as two:
        await one.push("one two three. ")
        watch = Watch()
        playing = asyncio.create_task(room.player.play(one, watch))
        await watch.until(sayline.Segment)
        room.device.play(100)
        playing.cancel()
        await asyncio.wait([playing])
        two.feed("four.")
        watch = Watch()
        playing = asyncio.create_task(room.player.play(two, watch))
        await watch.until(sayline.Done)
        assert any(room.device.play(5))
        assert room.device.play(40) == TONE[: 40 * 48]
        assert (await room.play_all(playing)).heard_text == "four."


async def test_audio_before_a_failure_is_played_before_the_error_is_raised(room: Room) -> None:
    async with room.server.context(format="pcm") as speech:
        speech.feed("one two explode three")
        playing = asyncio.create_task(room.player.play(speech))
        with pytest.raises(sayline.ContextFailed):
            await room.play_all(playing)
    assert room.device.heard.count(TONE[: len(TONE) - FADED]) == 2


async def test_audio_before_a_text_error_is_played_first(room: Room) -> None:
    async def broken() -> AsyncIterator[str]:
        yield "one two. "
        await watch.until(sayline.Segment)
        raise ZeroDivisionError

    watch = Watch()
    async with room.server.context(format="pcm") as speech:
        speech.feed(broken())
        playing = asyncio.create_task(room.player.play(speech, watch))
        with pytest.raises(ZeroDivisionError):
            await room.play_all(playing)
    assert room.device.heard.count(TONE[: len(TONE) - FADED]) == 2


async def test_lost_device_ends_playback_and_is_reopened(room: Room) -> None:
    async with room.server.context(format="pcm") as speech:
        await speech.push("one two. ")
        watch = Watch()
        playing = asyncio.create_task(room.player.play(speech, watch))
        await watch.until(sayline.Segment)
        late = room.device.unplug
        late()
        with pytest.raises(sayline.NoSound, match="plug it in again"):
            await playing
    async with room.server.context(format="pcm") as speech:
        speech.feed("one.")
        await room.play_all(asyncio.create_task(room.player.play(speech)))
        room.device.play(10)
        late()  # of the device that is gone already
        await asyncio.sleep(0)
        assert (await room.player.cancel()).heard_text == "one."
        assert room.device.sample_rate_hz == 24_000
    assert room.device.openings == 2


async def test_unopenable_device_is_reported(room: Room) -> None:
    room.device.broken = True
    async with room.server.context() as speech:
        with pytest.raises(sayline.NoSound, match="it is broken"):
            await room.player.play(speech)


async def test_leaving_the_player_ends_playback(room: Room) -> None:
    device, watch = FakeDevice(), Watch()
    async with room.server.context() as speech:
        async with sayline.Player(device) as player:
            await speech.push("one two. ")
            playing = asyncio.create_task(player.play(speech, watch))
            await watch.until(sayline.Segment)
            late = device.unplug
        with pytest.raises(sayline.SaylineError, match="closed during playback"):
            await playing
        late()  # closing it makes it say that it is gone
        assert device.sample_rate_hz == 0
        with pytest.raises(sayline.SaylineError, match="the player is closed: use it with `async with`"):
            await player.play(speech)


async def test_player_properties_are_zero_before_playback(room: Room) -> None:
    room.player.pause()
    room.player.resume()
    assert (room.player.played_ms, room.player.lead_ms, room.player.underruns) == (0, 0, 0)

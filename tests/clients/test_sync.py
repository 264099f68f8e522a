"""`sayline.sync` on a real socket: the same names and exceptions as the asynchronous API."""

import asyncio
import inspect
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import pytest
import sayline

from tests.clients.devices import FakeDevice
from tests.clients.scripted import TONE, ScriptedServer


@contextmanager
def serving() -> Iterator[ScriptedServer]:
    """The scripted server in a loop and a thread of its own, as any server is for a script."""
    ready: asyncio.Queue[Any] | None = None
    begun = threading.Event()
    scripted = ScriptedServer()

    async def serve() -> None:
        nonlocal ready
        ready = asyncio.Queue()
        async with scripted:
            begun.set()
            await ready.get()

    with ThreadPoolExecutor(1) as thread:
        loop = asyncio.new_event_loop()
        served = thread.submit(loop.run_until_complete, serve())
        assert begun.wait(10)
        try:
            yield scripted
        finally:
            assert ready is not None
            loop.call_soon_threadsafe(ready.put_nowait, None)
            served.result(10)
            loop.close()


@pytest.fixture
def scripted() -> Iterator[ScriptedServer]:
    with serving() as server:
        yield server


def test_pushed_text_yields_frames(scripted: ScriptedServer) -> None:
    with sayline.sync.connect(scripted.url) as server, server.context("angus", format="pcm") as speech:
        frames = list(speech.say(word for word in ["Hel", "lo the", "re."]))
    assert [frame.pcm for frame in frames] == [TONE, TONE]
    assert scripted.texts() == "Hello there."
    assert scripted.received[0]["voice"] == "angus"
    assert (server.ready.model, server.url) == ("tone", scripted.url)


def test_speech_arrives_while_text_is_being_written(scripted: ScriptedServer) -> None:
    heard = threading.Event()

    def written() -> Iterator[str]:
        yield "Hello there. "
        assert heard.wait(10)
        yield "Now the rest."

    with sayline.sync.connect(scripted.url) as server, server.context() as speech:
        count = 0
        for _ in speech.say(written()):
            heard.set()
            count += 1
    assert count == 5


def test_push_and_end_yield_events(scripted: ScriptedServer) -> None:
    with sayline.sync.connect(scripted.url) as server, server.context() as speech:
        speech.push("one two. ")
        speech.flush("all")
        speech.ack(80)
        events = iter(speech)
        first = [next(events) for _ in range(6)]
        assert first[-1] == sayline.Flushed("speech-1", 5, 160, "all")
        assert (speech.context_id, speech.sample_rate_hz, speech.duration_ms) == ("speech-1", 24_000, 160)
        speech.end()
        assert list(events) == [sayline.Done("speech-1", 6, 160)]
        assert speech.cancel(50).heard_text == "one"
        assert speech.place is None


def test_threads_may_speak_concurrently(scripted: ScriptedServer) -> None:
    with sayline.sync.connect(scripted.url) as server:

        def speak(words: int) -> int:
            with server.context() as speech:
                return len(list(speech.say("word " * words)))

        with ThreadPoolExecutor(4) as threads:
            assert list(threads.map(speak, [5, 1, 30, 2])) == [5, 1, 30, 2]


def test_exceptions_are_those_of_the_async_api(scripted: ScriptedServer, unused_tcp_port: int) -> None:
    with (
        pytest.raises(sayline.Refused, match="no server at"),
        sayline.sync.connect(f"ws://127.0.0.1:{unused_tcp_port}"),
    ):
        pass
    with sayline.sync.connect(scripted.url) as server:
        with server.context("nobody") as speech, pytest.raises(sayline.UnknownVoice):
            list(speech.say("Hello."))
        with server.context() as speech, pytest.raises(ZeroDivisionError):
            list(speech.say(str(1 // number) for number in (1, 0)))
    with pytest.raises(sayline.ConnectionLost, match="inside its `with`"):
        speech.push("too late")
    assert not [thread for thread in threading.enumerate() if thread.name == "sayline"]


def test_sync_player_plays(scripted: ScriptedServer) -> None:
    device = FakeDevice()
    playing = threading.Event()

    def play_on() -> None:
        while not playing.is_set():
            if device.sample_rate_hz:
                device.play(10)

    with ThreadPoolExecutor(1) as thread, sayline.sync.connect(scripted.url) as server:
        thread.submit(play_on)
        try:
            with sayline.sync.Player(device) as player, server.context() as speech:
                events: list[sayline.Event] = []
                speech.feed("one two.")
                player.pause()
                player.resume()
                heard = player.play(speech, events.append)
                assert player.cancel() == heard
                assert (player.played_ms, player.lead_ms) == (160 - 6.5, 0)
                assert player.underruns >= 0
        finally:
            playing.set()
    assert heard.heard_text == "one two."
    assert isinstance(events[-1], sayline.Done)


@pytest.mark.parametrize(
    ("shell", "meant"),
    [
        (sayline.sync.Session, sayline.Session),
        (sayline.sync.Context, sayline.Context),
        (sayline.sync.Player, sayline.Player),
    ],
)
def test_sync_api_has_every_public_name(shell: type, meant: type) -> None:
    for_the_session = {"last_seq", "on_connection_lost", "on_sending", "receive", "restart"}
    names = {name for name in vars(meant) if not name.startswith("_")} - for_the_session
    assert names <= set(vars(shell))


def test_sync_api_has_the_same_signatures() -> None:
    def named(function: Callable[..., Any]) -> list[str]:
        return list(inspect.signature(function).parameters)

    assert named(sayline.sync.connect) == named(sayline.connect)
    for name in ("say", "feed", "push", "flush", "end", "ack", "cancel"):
        assert named(getattr(sayline.sync.Context, name)) == named(getattr(sayline.Context, name))

import pytest

from sayline_tts.bench.load.sayline_stream import Server
from sayline_tts.bench.load.stream import Lost, Outcome, Stream, Wish
from tests.clients.scripted import ScriptedServer


async def speak(server: ScriptedServer, wish: Wish) -> Stream:
    stream = Stream(wish, 0)
    async with Server(server.url, voice="angus").connect() as connection:
        await connection.speak(stream)
    return stream


async def test_a_text_is_asked_for_and_its_audio_counted() -> None:
    async with ScriptedServer() as server:
        stream = await speak(server, Wish("One two. And three."))
    assert stream.outcome is Outcome.SPOKEN
    assert stream.listener.received_ms == 4 * 80
    assert stream.segments_ms == [160, 160]
    assert stream.ttfa_ms is not None
    start, text, end = server.received
    assert (start["type"], start["voice"], start["wait"]) == ("start", "angus", False)
    assert (text["text"], end["type"]) == ("One two. And three.", "end")


async def test_one_connection_carries_text_after_text() -> None:
    async with ScriptedServer() as server, Server(server.url).connect() as connection:
        for _ in range(2):
            stream = Stream(Wish("Hello."), 0)
            await connection.speak(stream)
            assert stream.listener.received_ms == 80
    assert len(server.connections) == 1


async def test_who_has_heard_enough_cancels() -> None:
    async with ScriptedServer() as server:
        stream = await speak(server, Wish("one " * 1000, stop_after_ms=160))
    assert stream.outcome in (Outcome.STOPPED, Outcome.SPOKEN)  # it may have been too quick to be stopped
    assert stream.listener.received_ms >= 160
    assert server.received[-1]["type"] == "cancel"


async def test_a_context_that_fails_says_why() -> None:
    async with ScriptedServer() as server:
        stream = await speak(server, Wish("explode"))
    assert (stream.outcome, stream.error) == (Outcome.FAILED, "internal: internal")


async def test_a_lost_connection_ends_the_stream() -> None:
    async with ScriptedServer() as server, Server(server.url).connect() as connection:
        stream = Stream(Wish("hangup"), 0)
        await connection.speak(stream)
    assert stream.outcome is Outcome.FAILED
    assert "lost" in stream.error


async def test_where_no_server_is_nobody_comes_in() -> None:
    with pytest.raises(Lost, match="sayline serve"):
        async with Server("ws://127.0.0.1:1").connect():
            pass

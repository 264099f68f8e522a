import pytest

from sayline_tts.bench.load.sayline_stream import Server
from sayline_tts.bench.load.stream import ConnectionLost, Outcome, Request, Stream
from tests.clients.scripted import ScriptedServer


async def speak(server: ScriptedServer, request: Request) -> Stream:
    stream = Stream(request, 0)
    async with Server(server.url, voice="angus").connect() as connection:
        await connection.speak(stream)
    return stream


async def test_text_is_requested_and_its_audio_counted() -> None:
    async with ScriptedServer() as server:
        stream = await speak(server, Request("One two. And three."))
    assert stream.outcome is Outcome.SPOKEN
    assert stream.listener.received_ms == 4 * 80
    assert stream.segments_ms == [160, 160]
    assert stream.ttfa_ms is not None
    start, text, end = server.received
    assert (start["type"], start["voice"], start["wait"]) == ("start", "angus", False)
    assert (text["text"], end["type"]) == ("One two. And three.", "end")


async def test_text_is_written_token_by_token_and_times_run_from_the_first() -> None:
    async with ScriptedServer() as server:
        stream = await speak(server, Request("One two. And three.", tokens_a_second=50, lookahead_words=2))
    assert stream.outcome is Outcome.SPOKEN
    start, *texts, end = server.received
    assert start["lookahead_words"] == 2
    assert [text["text"] for text in texts] == ["One", " two.", " And", " three."]
    assert end["type"] == "end"
    assert stream.ttfa_ms is not None
    assert stream.ttfa_ms > 20, "two tokens are written before there is a sentence"


async def test_writer_of_a_failed_stream_stops() -> None:
    async with ScriptedServer() as server:
        stream = await speak(server, Request("explode. " + "word " * 1000, tokens_a_second=50))
    assert stream.outcome is Outcome.FAILED
    assert len(server.received) < 100


async def test_connection_carries_several_texts() -> None:
    async with ScriptedServer() as server, Server(server.url).connect() as connection:
        for _ in range(2):
            stream = Stream(Request("Hello."), 0)
            await connection.speak(stream)
            assert stream.listener.received_ms == 80
    assert len(server.connections) == 1


async def test_satisfied_stream_is_cancelled() -> None:
    async with ScriptedServer() as server:
        stream = await speak(server, Request("one " * 1000, stop_after_ms=160))
    assert stream.outcome in (Outcome.STOPPED, Outcome.SPOKEN)  # it may finish before the cancel arrives
    assert stream.listener.received_ms >= 160
    assert server.received[-1]["type"] == "cancel"


async def test_failed_context_reports_its_error() -> None:
    async with ScriptedServer() as server:
        stream = await speak(server, Request("explode"))
    assert (stream.outcome, stream.error) == (Outcome.FAILED, "internal: internal")


async def test_lost_connection_fails_the_stream() -> None:
    async with ScriptedServer() as server, Server(server.url).connect() as connection:
        stream = Stream(Request("hangup"), 0)
        await connection.speak(stream)
    assert stream.outcome is Outcome.FAILED
    assert "lost" in stream.error


async def test_connecting_without_a_server_raises() -> None:
    with pytest.raises(ConnectionLost, match="sayline serve"):
        async with Server("ws://127.0.0.1:1").connect():
            pass

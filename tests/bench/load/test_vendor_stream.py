"""The load generator's other protocols, on a server with a fake model."""

import json
from collections.abc import AsyncIterator

import pytest
from websockets.asyncio.server import ServerConnection, serve

from sayline_tts.bench.load.sayline_stream import Server
from sayline_tts.bench.load.stream import ConnectionLost, Outcome, Request, Stream
from sayline_tts.bench.load.vendor_stream import connect_by
from sayline_tts.engine.errors import InputError
from sayline_tts.server.app import make_app
from sayline_tts.server.settings import Settings
from tests.server.fakes import FRAMES_PER_WORD, FakeEngine
from tests.server.stream_client import serving

VENDORS = ("openai", "elevenlabs")


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    engine = FakeEngine()
    async with serving(await make_app(Settings.load(api_key="secret"), engine.model, engine)) as address:
        yield Server(f"ws://{address}", "secret")


async def speak(server: Server, protocol: str, *requests: Request) -> list[Stream]:
    streams = [Stream(request, 0) for request in requests]
    async with connect_by(protocol, server)() as connection:
        for stream in streams:
            await connection.speak(stream)
    return streams


@pytest.mark.parametrize("protocol", ["native", *VENDORS])
async def test_audio_of_each_text_is_counted(server: Server, protocol: str) -> None:
    streams = await speak(server, protocol, Request("Hello there."), Request("Three more words."))
    assert [stream.outcome for stream in streams] == [Outcome.SPOKEN] * 2
    assert [stream.listener.received_ms for stream in streams] == [2 * FRAMES_PER_WORD * 80, 3 * FRAMES_PER_WORD * 80]
    assert all(stream.ttfa_ms is not None for stream in streams)


@pytest.mark.parametrize("protocol", VENDORS)
async def test_satisfied_stream_is_cancelled(server: Server, protocol: str) -> None:
    [stream] = await speak(server, protocol, Request("one " * 500, stop_after_ms=160))
    assert stream.outcome is Outcome.STOPPED
    assert 160 <= stream.listener.received_ms < 500 * FRAMES_PER_WORD * 80


async def test_a_wrong_key_is_told(server: Server) -> None:
    wrong = Server(server.url, "wrong")
    [stream] = await speak(wrong, "openai", Request("Hello."))
    assert (stream.outcome, stream.error) == (Outcome.FAILED, "HTTP 401")
    with pytest.raises(ConnectionLost, match="401"):
        await speak(wrong, "elevenlabs", Request("Hello."))


async def test_errors_and_lost_connections_are_told() -> None:
    async def answer(socket: ServerConnection) -> None:
        async for data in socket:
            message = json.loads(data)
            if message.get("close_context"):
                continue
            if message["text"] == "lost":
                return
            error = {"error": message["text"], "message": "told", "contextId": message["context_id"]}
            await socket.send(json.dumps({"audio": None, "contextId": "another"}))
            await socket.send(json.dumps(error))

    async with serve(answer, "127.0.0.1", 0) as listening:
        url = f"ws://127.0.0.1:{next(iter(listening.sockets)).getsockname()[1]}"
        texts = ("system_busy", "invalid", "lost")
        streams = await speak(Server(url), "elevenlabs", *(Request(text) for text in texts))
    assert [stream.outcome for stream in streams] == [Outcome.REJECTED, Outcome.FAILED, Outcome.FAILED]
    assert streams[1].error == "told"


def test_openai_s_protocol_is_measured_without_tls() -> None:
    with pytest.raises(InputError, match="without TLS"):
        connect_by("openai", Server("wss://example.org"))

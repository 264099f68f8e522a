"""The TCP port of Wyoming, on a server with a fake model; `tests/agents` has the reference client."""

import asyncio
import json
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiohttp import web

from sayline_tts.server.app import SESSIONS, make_app
from sayline_tts.server.compat.services import SERVICES
from sayline_tts.server.compat.wyoming import server as wyoming
from sayline_tts.server.compat.wyoming.server import WyomingServer
from sayline_tts.server.lifecycle import bind_wyoming
from sayline_tts.server.settings import Settings
from tests.server.fakes import FRAMES_PER_WORD, FakeEngine
from tests.server.stream_client import serving

FRAME_BYTES = 3_840


class Client:
    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    def say(self, type: str, payload: bytes = b"", **data: object) -> None:
        encoded = json.dumps(data).encode()
        header = {"type": type, "data_length": len(encoded), "payload_length": len(payload)}
        self.writer.write(json.dumps(header).encode() + b"\n" + encoded + payload)

    async def receive(self) -> dict[str, Any]:
        """The next event; empty at the end of the stream."""
        line = await self.reader.readline()
        if not line:
            return {}
        header = json.loads(line)
        data = json.loads(await self.reader.readexactly(header.get("data_length", 0)) or b"{}")
        return {
            "type": header["type"],
            **data,
            "payload": await self.reader.readexactly(header.get("payload_length", 0)),
        }

    async def receive_until(self, type: str) -> list[dict[str, Any]]:
        received = [await self.receive()]
        while received[-1]["type"] != type:
            received.append(await self.receive())
        return received


@asynccontextmanager
async def wyoming_server(app: web.Application) -> AsyncIterator[int]:
    listener = socket.create_server(("127.0.0.1", 0))
    server = WyomingServer(app[SERVICES])
    async with serving(app):
        await server.start(listener)
        try:
            yield listener.getsockname()[1]
        finally:
            await server.stop()


@asynccontextmanager
async def connected(port: int) -> AsyncIterator[Client]:
    client = Client(*await asyncio.open_connection("127.0.0.1", port))
    try:
        yield client
    finally:
        client.writer.close()


@pytest.fixture
async def port(engine: FakeEngine) -> AsyncIterator[int]:
    async with wyoming_server(await make_app(Settings.load(api_key="k" * 20), engine.model, engine)) as where:
        yield where


async def test_programs_and_voices_are_described(port: int) -> None:
    async with connected(port) as client:
        client.say("describe", payload=b"ignored")
        info = await client.receive()
    (program,) = info["tts"]
    assert program["supports_synthesize_streaming"]
    assert [voice["name"] for voice in program["voices"]] == ["ann", "bob", "eve"]
    assert {voice["languages"][0] for voice in program["voices"]} == {"en"}


async def test_speech_of_a_whole_text_and_of_a_streamed_one(port: int) -> None:
    async with connected(port) as client:
        client.say("synthesize", text="Hello there.", voice={"name": "bob"})
        whole = await client.receive_until("audio-stop")
        client.say("synthesize-start")
        for piece in ("Hello ", "there. How "):
            client.say("synthesize-chunk", text=piece)
        first = await client.receive_until("audio-chunk")
        client.say("synthesize", text="Hello there. How ")
        client.say("synthesize-stop")
        streamed = first + await client.receive_until("synthesize-stopped")
    for received, words in ((whole, 2), (streamed, 3)):
        assert (received[0]["type"], received[0]["rate"], received[0]["width"]) == ("audio-start", 24_000, 2)
        assert len(b"".join(each["payload"] for each in received)) == words * FRAMES_PER_WORD * FRAME_BYTES


async def test_a_client_that_leaves_stops_its_speech(engine: FakeEngine, port: int) -> None:
    async with connected(port) as client:
        client.say("synthesize", text="word " * 800)
        await client.receive_until("audio-chunk")
    await engine.wait_until(lambda: not engine.running)


@pytest.mark.parametrize(
    "sent",
    [b"hello\n", b'{"type":"describe","data_length":-1}\n', b'{"type":"describe","data_length":2}\n[]', b"a" * 70_000],
)
async def test_what_is_not_an_event_ends_the_connection(port: int, sent: bytes) -> None:
    async with connected(port) as client:
        client.writer.write(sent)
        assert (await client.receive())["code"] == "bad_message"
        assert not await client.receive()


@pytest.mark.parametrize("sent", [b'{"type":"describe","data_length":9}\n{', b'{"type"'])
async def test_an_event_that_is_cut_ends_the_connection(port: int, sent: bytes) -> None:
    async with connected(port) as client:
        client.writer.write(sent)
        client.writer.write_eof()
        assert not (await client.receive()).get("tts")


async def test_connections_and_sessions_are_bounded(engine: FakeEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wyoming, "MAX_CONNECTIONS", 2)
    app = await make_app(Settings.load(max_sessions=1), engine.model, engine)
    async with wyoming_server(app) as port, connected(port) as first:
        first.say("ping")
        assert (await first.receive())["type"] == "pong"
        async with connected(port) as second:
            assert (await second.receive())["code"] == "full"
            assert not await second.receive()


async def test_an_idle_connection_is_closed(engine: FakeEngine) -> None:
    app = await make_app(Settings.load(session_idle_s=0.05), engine.model, engine)
    async with wyoming_server(app) as port, connected(port) as client:
        assert not await client.receive()
    assert not len(app[SESSIONS])


async def test_port_is_opened_only_if_it_is_wanted() -> None:
    for settings in (Settings(), Settings.load(wyoming_port=1, protocols="elevenlabs")):
        with bind_wyoming(settings) as listener:
            assert listener is None

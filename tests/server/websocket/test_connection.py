"""How connections end, and what slow clients get."""

import asyncio
import contextlib
import json
import socket
import time
from typing import Any

import pytest
from aiohttp.web import WebSocketResponse
from websockets.exceptions import ConnectionClosed

from sayline_tts.server.access import message_budget
from sayline_tts.server.app import SESSIONS, make_app
from sayline_tts.server.settings import Settings
from tests.server.fakes import FakeEngine
from tests.server.stream_client import StreamClient, connected_client, serving


async def close_code(client: StreamClient) -> int | None:
    with contextlib.suppress(ConnectionClosed):
        while True:
            await client.receive()
    return client.socket.close_code


async def test_stalled_reader_is_closed_without_affecting_others(engine: FakeEngine) -> None:
    app = await make_app(Settings.load(slow_consumer_s=0.2), engine.model, engine)
    async with (
        serving(app) as address,
        connected_client(address, max_queue=1) as stalled,
        connected_client(address) as other,
    ):
        for name in "ab":
            await stalled.speak("word " * 4_000, name, format="pcm", max_lead_ms=60_000)
        await engine.wait_until(lambda: engine.running == 2)
        while engine.running:  # until both have been aborted
            await other.speak("All is well. " * 3, "healthy")
            await other.receive_until_final("healthy")
        assert not other.messages_of("error", "healthy")
        assert await close_code(stalled) in (4001, 1006)  # 1006 if not even the close frame could be written
        assert {message["code"] for message in stalled.received if message["type"] == "error"} <= {"slow_consumer"}
    assert len(app[SESSIONS]) == 0


async def test_slow_consumer_that_reads_again_gets_its_last_events(
    engine: FakeEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    stuck = asyncio.Event()
    send_bytes = WebSocketResponse.send_bytes

    async def stall(socket: Any, data: bytes, *more: Any) -> None:
        await send_bytes(socket, data, *more)
        stuck.set()
        await asyncio.Event().wait()

    monkeypatch.setattr(WebSocketResponse, "send_bytes", stall)
    app = await make_app(Settings.load(slow_consumer_s=0.05), engine.model, engine)
    async with serving(app) as address, connected_client(address) as client:
        await client.send("start", "silent")
        await client.speak("Hello there.")
        await client.speak("word " * 1_000, "b", max_lead_ms=400)
        assert await close_code(client) == 4001
    errors = [message for message in client.received if message["type"] == "error"]
    assert {error["context_id"]: error["code"] for error in errors} == dict.fromkeys(
        ("a", "b", "silent"), "slow_consumer"
    )
    assert all(error["final"] for error in errors)
    assert len(client.messages_of("audio")) + len(client.messages_of("audio", "b")) == 1


async def test_idle_session_is_closed_and_its_client_can_reconnect(engine: FakeEngine) -> None:
    app = await make_app(Settings.load(session_idle_s=0.05), engine.model, engine)
    async with serving(app) as address:
        async with connected_client(address) as client:
            assert await close_code(client) == 4000
        async with connected_client(address) as client:
            await client.speak("All is well.")
            await client.receive_until_final()


async def test_session_with_an_open_context_is_not_idle(engine: FakeEngine) -> None:
    app = await make_app(Settings.load(session_idle_s=0.1, context_idle_s=0.4), engine.model, engine)
    async with serving(app) as address, connected_client(address) as client:
        await client.send("start")
        error = await client.receive()
        assert (error["code"], error["final"]) == ("expired", True)
        assert await close_code(client) == 4000


async def test_context_with_pending_text_does_not_expire(engine: FakeEngine) -> None:
    app = await make_app(Settings.load(context_idle_s=0.05), engine.model, engine)
    async with serving(app) as address, connected_client(address) as client:
        engine.runner.may_step.clear()
        await client.send("start")
        await client.send("text", text="Hello there. ")
        await engine.wait_scheduled()
        await asyncio.sleep(0.15)
        engine.runner.may_step.set()
        assert (await client.receive_until("segment"))["text"] == "Hello there."
        assert (await client.receive_until("error"))["code"] == "expired"
        assert engine.running == 0


async def test_invalid_frame_ends_the_session(engine: FakeEngine) -> None:
    app = await make_app(Settings(), engine.model, engine)
    async with serving(app) as address:
        async with connected_client(address, close_timeout=0.1) as client:  # the server has nothing more to say
            await client.send("start")
            client.socket.transport.write(b"\xff\xff\xff\xff")
            await close_code(client)
        await app[SESSIONS].wait_until(lambda: not len(app[SESSIONS]))


async def test_oversized_frame_closes_with_1009(address: str) -> None:
    async with connected_client(address) as client:
        with contextlib.suppress(ConnectionClosed):
            await client.socket.send(json.dumps({"type": "text", "context_id": "a", "text": "x" * 3_000_000}))
        assert await close_code(client) == 1009


async def test_compression_is_declined(address: str) -> None:
    async with connected_client(address, compression="deflate") as client:
        assert not client.socket.protocol.extensions


async def test_flood_of_messages_is_read_at_the_rate_of_the_budget_and_told(
    engine: FakeEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is lost: each message is answered, though late."""
    monkeypatch.setattr(message_budget, "WARN_S", 0.2)
    app = await make_app(Settings.load(messages_per_second=50), engine.model, engine)
    async with serving(app) as address, connected_client(address) as client:
        started_s = time.monotonic()
        for number in range(100):
            await client.send("flush", f"unknown {number}")
        await client.receive_until("error", context_id="unknown 99")
        assert time.monotonic() - started_s > 0.9, "50 messages at once, 50 more in a second"
        codes = [message["code"] for message in client.received]
        assert codes.count("unknown_context") == 100
        warnings = [message for message in client.received if message["code"] == "rate_limited"]
        assert warnings
        assert not warnings[0]["final"]
        assert warnings[0]["retry_after_ms"] >= 0


async def test_flood_of_pings_is_answered_at_the_rate_of_the_budget(engine: FakeEngine) -> None:
    app = await make_app(Settings.load(messages_per_second=50), engine.model, engine)
    async with serving(app) as address, connected_client(address) as client:
        started_s = time.monotonic()
        await client.socket.pong(b"unasked")
        answered = [await client.socket.ping(str(number).encode()) for number in range(100)]
        await answered[-1]
        assert time.monotonic() - started_s > 0.9
        await client.speak("Hello there.")
        await client.receive_until_final()


async def test_client_that_comes_back_long_after_it_was_given_up_reads_why(
    engine: FakeEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its buffers are full of audio; the last events and the close frame wait behind that until it reads again."""
    monkeypatch.setattr("sayline_tts.server.websocket.socket_connection.CLOSE_TIMEOUT_S", 0.05)
    app = await make_app(Settings.load(slow_consumer_s=0.2), engine.model, engine)
    async with serving(app) as address, connected_client(address, max_queue=1) as client:
        client.socket.transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        for name in "ab":
            await client.speak("word " * 4_000, name, format="pcm", max_lead_ms=60_000)
        await app[SESSIONS].wait_until(lambda: not len(app[SESSIONS]))
        await asyncio.sleep(1)  # the connection would have been aborted 0.1 s after the session's end
        assert await close_code(client) == 4001
        errors = {message["context_id"]: message["code"] for message in client.received if message["type"] == "error"}
        assert errors == {"a": "slow_consumer", "b": "slow_consumer"}

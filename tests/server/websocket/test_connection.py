"""How a connection ends, and what a slow one does; what is said on it: test_session.py."""

import asyncio
import contextlib
import json
from typing import Any

import pytest
from aiohttp.web import WebSocketResponse
from websockets.exceptions import ConnectionClosed

from sayline_tts.server.app import SESSIONS, make_app
from sayline_tts.server.settings import Settings
from tests.server.fakes import FakeEngine
from tests.server.peer import Peer, peer, running


async def closed(one: Peer) -> int | None:
    with contextlib.suppress(ConnectionClosed):
        while True:
            await one.hear()
    return one.socket.close_code


async def test_a_reader_that_stalls_is_told_and_closed_and_others_notice_nothing(engine: FakeEngine) -> None:
    app = await make_app(Settings.load(slow_consumer_s=0.2), engine.model, engine)
    async with running(app) as address, peer(address, max_queue=1) as stalled, peer(address) as other:
        for name in "ab":
            await stalled.say("word " * 4_000, name, format="pcm", max_lead_ms=60_000)
        await engine.until(lambda: engine.running == 2)
        while engine.running:  # both are given up
            await other.say("All is well. " * 3, "healthy")
            await other.hear_all("healthy")
        assert not other.of("error", "healthy")
        assert await closed(stalled) in (4001, 1006)  # where nothing could be written any more, it is cut
        assert {message["code"] for message in stalled.heard if message["type"] == "error"} <= {"slow_consumer"}
    assert len(app[SESSIONS]) == 0


async def test_a_peer_that_reads_at_last_hears_why_it_was_given_up(
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
    async with running(app) as address, peer(address) as one:
        await one.send("start", "silent")
        await one.say("Hello there.")
        await one.say("word " * 1_000, "b", max_lead_ms=400)
        assert await closed(one) == 4001
    errors = [message for message in one.heard if message["type"] == "error"]
    assert {error["context_id"]: error["code"] for error in errors} == dict.fromkeys(
        ("a", "b", "silent"), "slow_consumer"
    )
    assert all(error["final"] for error in errors)
    assert len(one.of("audio")) + len(one.of("audio", "b")) == 1


async def test_who_says_nothing_for_long_is_closed_and_can_come_again(engine: FakeEngine) -> None:
    app = await make_app(Settings.load(session_idle_s=0.05), engine.model, engine)
    async with running(app) as address:
        async with peer(address) as one:
            assert await closed(one) == 4000
        async with peer(address) as one:
            await one.say("All is well.")
            await one.hear_all()


async def test_a_session_with_an_open_context_is_not_idle(engine: FakeEngine) -> None:
    app = await make_app(Settings.load(session_idle_s=0.03, context_idle_s=0.15), engine.model, engine)
    async with running(app) as address, peer(address) as one:
        await one.send("start")
        error = await one.hear()
        assert (error["code"], error["final"]) == ("expired", True)
        assert await closed(one) == 4000


async def test_a_context_that_has_something_to_speak_does_not_expire(engine: FakeEngine) -> None:
    app = await make_app(Settings.load(context_idle_s=0.05), engine.model, engine)
    async with running(app) as address, peer(address) as one:
        engine.runner.may_step.clear()
        await one.send("start")
        await one.send("text", text="Hello there. ")
        await engine.until_scheduled()
        await asyncio.sleep(0.15)
        engine.runner.may_step.set()
        assert (await one.hear_until("segment"))["text"] == "Hello there."
        assert (await one.hear_until("error"))["code"] == "expired"
        assert engine.running == 0


async def test_frames_that_are_no_messages_close_the_connection_for_good(engine: FakeEngine) -> None:
    app = await make_app(Settings(), engine.model, engine)
    async with running(app) as address:
        async with peer(address) as one:
            await one.send("start")
            one.socket.transport.write(b"\xff\xff\xff\xff")
            await closed(one)
        await app[SESSIONS].until(lambda: not len(app[SESSIONS]))


async def test_a_frame_beyond_all_measure_is_closed_with_1009(address: str) -> None:
    async with peer(address) as one:
        with contextlib.suppress(ConnectionClosed):
            await one.socket.send(json.dumps({"type": "text", "context_id": "a", "text": "x" * 3_000_000}))
        assert await closed(one) == 1009


async def test_compression_is_declined(address: str) -> None:
    async with peer(address, compression="deflate") as one:
        assert not one.socket.protocol.extensions

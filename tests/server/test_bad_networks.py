"""Slow links, slices of one byte, black holes, and many reconnections at once."""

import asyncio
import contextlib
import random

import numpy as np
import pytest
import sayline
from sayline import client as client_module
from websockets.exceptions import ConnectionClosed

from sayline_tts.engine.models.model import Model
from sayline_tts.server.app import ENGINE_LOOP, SESSIONS, make_app
from sayline_tts.server.settings import Settings
from tests.clients.cut import Cut, CutLine
from tests.server.bad_line import BadLine
from tests.server.fakes import FakeEngine
from tests.server.raw_http import raw_client, until
from tests.server.stream_client import StreamClient, accepting, connected_client, serving

TEXT = "Hello there. How are you? "


async def pcm(one: StreamClient, **fields: str) -> np.ndarray:
    await one.speak(TEXT, format="pcm", seed=7, **fields)
    await one.receive_until_final()
    assert one.messages_of("done")
    return one.pcm()


@pytest.mark.parametrize("encoding", ["json", "msgpack"])
async def test_slices_of_one_byte_change_nothing(address: str, encoding: str) -> None:
    async with connected_client(address, encoding) as direct:
        expected = await pcm(direct)
    async with BadLine(address, slice_bytes=1).open() as line, connected_client(line, encoding) as one:
        assert np.array_equal(await pcm(one), expected)


async def test_http_in_slices_of_one_byte(address: str) -> None:
    body = b'{"text": "Hello there.", "format": "pcm", "seed": 7}'
    answers = []
    async with BadLine(address, slice_bytes=1).open() as line:
        for way in (address, line):
            async with raw_client(way) as one:
                await one.request("POST /generate", body, Content_Type="application/json", Connection="close")
                assert await one.status() == 200
                answers.append(await one.rest())
    assert answers[0] == answers[1]


async def test_slow_link_delays_its_own_listener_only(address: str) -> None:
    """Opus needs 30 kbit/s, and this line has 64, with JSON around it."""
    async with (
        BadLine(address, slice_bytes=64, bits_per_second=64_000).open() as line,
        connected_client(line) as slow,
        connected_client(address) as fast,
    ):
        pending = asyncio.create_task(slow.speak(TEXT))
        expected = await pcm(fast)
        await pending
        await slow.receive_until_final()
    assert slow.messages_of("done")
    assert len(slow.messages_of("audio")) == len(expected) // 1_920


async def test_black_hole_frees_its_slot_within_two_heartbeats(engine: FakeEngine) -> None:
    heartbeat_s = 0.2
    app = await make_app(Settings.load(heartbeat_s=heartbeat_s, resume_s=0), engine.model, engine)
    async with accepting(app) as server:
        line = BadLine(server.address)
        async with line.open() as way, connected_client(way, ping_interval=None, close_timeout=0.1) as one:
            await one.speak("word " * 10_000, max_lead_ms=400)
            await one.receive_until("audio")
            assert engine.running == 1
            line.swallow.set()
            await until(lambda: not len(app[SESSIONS]) and not len(server.acceptor))
            assert app[ENGINE_LOOP].slots_used == 0
            with contextlib.suppress(ConnectionClosed):
                await one.socket.close()
        async with connected_client(server.address) as other:
            await other.speak("All is well.")
            await other.receive_until_final()


async def reconnect_all(address: str, clients: int) -> None:
    """Every client loses its connection at the same moment, and resumes its session."""
    async with contextlib.AsyncExitStack() as stack:
        sessions = [await stack.enter_async_context(sayline.connect(f"ws://{address}")) for _ in range(clients)]
        contexts = [await stack.enter_async_context(each.context(format="pcm")) for each in sessions]
        for context in contexts:
            await context.push("One two ")
        for each in sessions:
            each._connection._socket.transport.abort()
        frames = [0] * clients

        async def listen(number: int) -> None:
            await contexts[number].push("three. ")
            await contexts[number].end()
            async for event in contexts[number]:
                frames[number] += isinstance(event, sayline.Frame)

        await asyncio.gather(*map(listen, range(clients)))
        assert frames == [6] * clients  # two for each word: nothing is lost and nothing repeated


async def test_many_reconnections_at_once_lose_nothing() -> None:
    engine = FakeEngine(slots=128, max_waiting=100)
    async with serving(await make_app(Settings.load(max_sessions=200), engine.model, engine)) as address:
        await reconnect_all(address, 100)


@pytest.mark.slow
async def test_cuts_at_any_byte_leave_the_bytes_of_the_real_engine(
    model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client_module, "MAX_RETRY_S", 0.05)
    rng = random.Random(1)
    async with serving(await make_app(Settings(), model)) as address:
        expected = await spoken(f"ws://{address}")
        assert len(expected) > 100_000
        cuts = 0
        while cuts < 60:
            line = CutLine([Cut(after_bytes=rng.randint(1, 40_000)) for _ in range(6)], address)
            async with line.open() as url:
                with contextlib.suppress(sayline.Refused):  # the first connection may be cut before `ready`
                    assert await spoken(url) == expected
            cuts += min(6, line.connections - 1)


async def spoken(url: str) -> bytes:
    async with sayline.connect(url) as server, server.context(format="pcm", seed=7, max_lead_ms=60_000) as context:
        await context.push(TEXT * 2)
        await context.end()
        return b"".join([event.pcm async for event in context if isinstance(event, sayline.Frame)])

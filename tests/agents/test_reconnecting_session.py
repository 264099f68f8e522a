import asyncio
from collections.abc import AsyncIterator

import pytest
from sayline import Refused
from sayline.agents.reconnecting_session import ReconnectingSession

from tests.clients.scripted import ScriptedServer

WAIT_S = 10


@pytest.fixture
async def scripted() -> AsyncIterator[ScriptedServer]:
    async with ScriptedServer() as server:
        yield server


async def test_contexts_share_one_session(scripted: ScriptedServer) -> None:
    server = ReconnectingSession(scripted.url, None)
    await asyncio.gather(server.open(), server.open(voice="angus"))
    assert len(scripted.connections) == 1
    await scripted.until(lambda received: len(received) == 2)
    assert [message.get("voice") for message in scripted.received] == [None, "angus"]
    assert {message["format"] for message in scripted.received} == {"pcm"}
    await server.close()


async def test_closed_session_is_reopened_only_once(scripted: ScriptedServer) -> None:
    server = ReconnectingSession(scripted.url, None)
    session = await server.connect()
    await scripted.connections[0].close(4000, "idle")
    await asyncio.wait_for(asyncio.wait([session._receive_task]), WAIT_S)
    await asyncio.gather(server.open(), server.open(), server.open())
    await server._close(session)  # as one does who was late to notice
    await server.open()
    assert len(scripted.connections) == 2
    await server.close()
    await asyncio.wait_for(scripted.connections[1].wait_closed(), WAIT_S)


async def test_closed_session_can_be_opened_again(scripted: ScriptedServer) -> None:
    server = ReconnectingSession(scripted.url, None)
    await server.close()
    await server.open()
    await server.close()
    await server.open()
    assert len(scripted.connections) == 2
    await server.close()


async def test_missing_key_is_refused(scripted: ScriptedServer) -> None:
    scripted.api_key = "secret"
    with pytest.raises(Refused):
        await ReconnectingSession(scripted.url, "wrong").open()

import asyncio
from collections.abc import AsyncIterator

import pytest
from sayline import Refused
from sayline.agents.reconnecting_session import Line

from tests.clients.scripted import ScriptedServer

WAIT_S = 10


@pytest.fixture
async def scripted() -> AsyncIterator[ScriptedServer]:
    async with ScriptedServer() as server:
        yield server


async def test_there_is_one_session_however_many_speak(scripted: ScriptedServer) -> None:
    line = Line(scripted.url, None)
    await asyncio.gather(line.open(), line.open(voice="angus"))
    assert len(scripted.connections) == 1
    await scripted.until(lambda received: len(received) == 2)
    assert [message.get("voice") for message in scripted.received] == [None, "angus"]
    assert {message["format"] for message in scripted.received} == {"pcm"}
    await line.close()


async def test_a_session_that_was_closed_is_opened_again_and_once_only(scripted: ScriptedServer) -> None:
    line = Line(scripted.url, None)
    session = await line.connect()
    await scripted.connections[0].close(4000, "idle")
    await asyncio.wait_for(asyncio.wait([session._running]), WAIT_S)
    await asyncio.gather(line.open(), line.open(), line.open())
    await line._close(session)  # as one does who was late to notice
    await line.open()
    assert len(scripted.connections) == 2
    await line.close()
    await asyncio.wait_for(scripted.connections[1].wait_closed(), WAIT_S)


async def test_a_line_that_was_closed_can_be_opened(scripted: ScriptedServer) -> None:
    line = Line(scripted.url, None)
    await line.close()
    await line.open()
    await line.close()
    await line.open()
    assert len(scripted.connections) == 2
    await line.close()


async def test_who_has_no_key_is_refused(scripted: ScriptedServer) -> None:
    scripted.api_key = "secret"
    with pytest.raises(Refused):
        await Line(scripted.url, "wrong").open()

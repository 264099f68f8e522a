"""HAProxy's agent checks: what a server answers to them."""

import asyncio
import socket

import pytest

from sayline_tts.server import lifecycle
from sayline_tts.server.app import SESSIONS, make_app
from sayline_tts.server.lifecycle import PortInUse, bind_agent
from sayline_tts.server.network.agent import Agent, agent_line
from sayline_tts.server.settings import Settings
from tests.server.fakes import FakeEngine
from tests.server.stream_client import accepting


def test_load_is_told_as_haproxy_reads_it() -> None:
    assert agent_line(False, None, 10, 0) == "down\n"
    assert agent_line(True, "the server is shutting down", 10, 0) == "up drain\n"
    assert [agent_line(True, None, 10, load) for load in (0, 4, 10, 15)] == [
        "up ready 100%\n", "up ready 60%\n", "up ready 1%\n", "up ready 1%\n",
    ]  # fmt: skip


async def ask(address: tuple[str, int]) -> str:
    reader, writer = await asyncio.open_connection(*address)
    answer = (await reader.read()).decode()
    writer.close()
    return answer


async def test_server_answers_each_check_until_it_stops(engine: FakeEngine) -> None:
    app = await make_app(Settings(), engine.model, engine)
    async with accepting(app):
        with socket.create_server(("127.0.0.1", 0)) as listener:
            address = listener.getsockname()
            agent = Agent(lambda: lifecycle.describe_load(app))
            await agent.start(listener)
            assert await ask(address) == "up ready 100%\n"
            draining = asyncio.create_task(app[SESSIONS].drain())
            await asyncio.sleep(0)
            assert await ask(address) == "up drain\n"
            await draining
            await agent.stop()
            with pytest.raises(ConnectionRefusedError):
                await ask(address)


def test_port_in_use_is_named() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(PortInUse, match=f"port {port} on 127.0.0.1 is in use.*--agent-port"):
            bind_agent(Settings.load(agent_port=port))
    with bind_agent(Settings()) as listener:
        assert listener is None

"""Two servers behind HAProxy with the configuration in `deploy/`: the real program, with TLS and agent checks."""

import asyncio
import shutil
import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import sayline
import trustme
from aiohttp import web
from sayline import client as client_module
from sayline import handshake
from websockets.asyncio.client import connect

from sayline_tts.server import lifecycle
from sayline_tts.server.app import SESSIONS, make_app
from sayline_tts.server.network.agent import Agent
from sayline_tts.server.settings import Settings
from tests.deploy.test_proxies import wait_until_open
from tests.server.fakes import FakeEngine
from tests.server.stream_client import accepting

CONFIG = Path(__file__).parents[2] / "deploy" / "haproxy" / "haproxy.cfg"
HOST = "127.0.0.1"
CHECK_S = 0.1  # between two agent checks
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(shutil.which("haproxy") is None, reason="haproxy is not installed (a Debian package)"),
]


@dataclass
class Fleet:
    """Two servers, and the address of their load balancer."""

    apps: list[web.Application]
    engines: list[FakeEngine]
    port: int
    tls: ssl.SSLContext

    @property
    def url(self) -> str:
        return f"wss://{HOST}:{self.port}"

    @property
    def sessions(self) -> list[int]:
        return [len(app[SESSIONS]) for app in self.apps]

    def has(self, server: int, session: sayline.Session) -> bool:
        return any(each.id == session.ready.session_id for each in self.apps[server][SESSIONS]._connections)

    async def checked(self) -> None:
        """The load balancer has asked all servers since."""
        await asyncio.sleep(5 * CHECK_S)


def listen() -> socket.socket:
    return socket.create_server((HOST, 0))


@pytest.fixture
async def fleet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Fleet]:
    monkeypatch.setattr(client_module, "FIRST_RETRY_S", 0.01)
    ca = trustme.CA()
    certificate = ca.issue_cert(HOST)
    (tmp_path / "speech.pem").write_bytes(
        b"".join(pem.bytes() for pem in (*certificate.cert_chain_pems, certificate.private_key_pem))
    )
    tls = ssl.create_default_context()
    ca.configure_trust(tls)
    async with AsyncExitStack() as stack:
        apps, engines, config = [], [], CONFIG.read_text("utf-8")
        for name, host in (("one", "10.0.0.11"), ("two", "10.0.0.12")):
            engine = FakeEngine()
            settings = Settings.load(
                trusted_proxies=HOST, host_names="speech.example.com", insecure=2, data=str(tmp_path / "data")
            )
            app = await make_app(settings, engine.model, engine)
            server = await stack.enter_async_context(accepting(app))
            agent, agent_listener = Agent(partial(lifecycle.describe_load, app)), listen()
            await agent.start(agent_listener)
            stack.push_async_callback(agent.stop)
            line, at = f"server {name} {host}:8000", agent_listener.getsockname()[1]
            assert config.count(line) == 1
            config = config.replace(line, f"server {name} {server.address} agent-port {at}")
            apps.append(app)
            engines.append(engine)
        with listen() as free:
            port = free.getsockname()[1]
        replaced = {
            "bind :443": f"bind {HOST}:{port}",
            "/etc/haproxy/certs/speech.pem": str(tmp_path / "speech.pem"),
            "agent-inter 1s": f"agent-inter {round(CHECK_S * 1000)}ms",
            "check inter 2s": "check inter 100ms",
            "maxconn 20000": "maxconn 200",  # the machine may allow few descriptors
        }
        for old, new in replaced.items():
            assert config.count(old) == 1, old
            config = config.replace(old, new)
        (tmp_path / "haproxy.cfg").write_text(config)
        process = await asyncio.create_subprocess_exec(
            "haproxy", "-db", "-f", str(tmp_path / "haproxy.cfg"), stderr=asyncio.subprocess.PIPE
        )
        try:
            await wait_until_open(process, port)
            fleet = Fleet(apps, engines, port, tls)
            await fleet.checked()
            yield fleet
        finally:
            if process.returncode is None:
                process.terminate()
            await asyncio.wait_for(process.communicate(), 20)


@pytest.fixture
def trusted(fleet: Fleet, monkeypatch: pytest.MonkeyPatch) -> None:
    """The client trusts the load balancer's certificate."""
    monkeypatch.setattr(handshake, "connect_socket", partial(connect, ssl=fleet.tls))


async def speak(session: sayline.Session, text: str, seed: int) -> bytes:
    async with session.context(format="pcm", seed=seed, max_lead_ms=60_000) as speech:
        return b"".join([frame.pcm async for frame in speech.say(text)])


@pytest.mark.usefixtures("trusted")
async def test_sessions_are_spread_over_the_servers(fleet: Fleet) -> None:
    async with AsyncExitStack() as stack:
        for number in range(6):
            session = await stack.enter_async_context(sayline.connect(fleet.url))
            assert await speak(session, "Hello there.", number)
        assert fleet.sessions == [3, 3]


@pytest.mark.usefixtures("trusted")
async def test_lost_connections_come_back_to_their_server(fleet: Fleet) -> None:
    async with AsyncExitStack() as stack:
        sessions = [await stack.enter_async_context(sayline.connect(fleet.url)) for _ in range(3)]
        idle = fleet.sessions.index(1)
        other = next(each for each in sessions if fleet.has(idle, each))
        await other.__aexit__(None, None, None)  # now new sessions would go to its server
        kept = [each for each in sessions if each is not other]
        for seed, session in enumerate(kept):
            alone = await speak(session, "One two three four.", seed)
            spoken: list[bytes] = []
            async with session.context(format="pcm", seed=seed, max_lead_ms=60_000) as speech:
                speech.feed("One two three four.")
                async for event in speech:
                    if isinstance(event, sayline.Frame):
                        spoken.append(event.pcm)
                        if len(spoken) == 3:
                            transport: Any = session._connection._socket.transport
                            transport.abort()
            assert b"".join(spoken) == alone
            assert fleet.has(1 - idle, session)


@pytest.mark.usefixtures("trusted")
async def test_stopping_server_gets_no_new_sessions_and_finishes_its_own(fleet: Fleet) -> None:
    async with sayline.connect(fleet.url) as first:
        leaving = fleet.sessions.index(1)
        await speak(first, "Hello there.", 1)
        draining = asyncio.create_task(fleet.apps[leaving][SESSIONS].drain())
        await fleet.checked()
        async with AsyncExitStack() as stack:
            for number in range(4):
                session = await stack.enter_async_context(sayline.connect(fleet.url))
                assert await speak(session, "Hello there.", number)
            assert fleet.sessions[1 - leaving] == 4
        draining.cancel()

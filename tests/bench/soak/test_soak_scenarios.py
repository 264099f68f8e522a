"""Every scenario against a real server with a fake model."""

import random
from collections.abc import AsyncIterator

import pytest
from aiohttp import web

from sayline_tts.bench.soak import soak_scenarios
from sayline_tts.bench.soak.soak_client import SoakClient, SoakTally
from sayline_tts.bench.soak.soak_scenarios import SCENARIOS, Scenario, garbage, run_scenario
from sayline_tts.server.app import make_app
from sayline_tts.server.settings import Settings
from tests.server.fakes import FakeEngine
from tests.server.stream_client import serving


@pytest.fixture
async def address() -> AsyncIterator[str]:
    engine = FakeEngine()
    async with serving(await make_app(Settings.load(resume_s=0), engine.model, engine)) as where:
        yield where


@pytest.mark.parametrize("kind", SCENARIOS)
async def test_every_scenario_completes(kind: Scenario, address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(soak_scenarios, "SCENARIOS", {kind: 1})
    tally = SoakTally()
    for seed in range(2):
        await run_scenario(address, random.Random(seed), tally)
    assert tally.runs_by_scenario == {kind.__name__: 2}
    assert not tally.faults


def test_scenarios_are_deterministic_by_seed() -> None:
    assert [garbage(random.Random(5)) for _ in range(3)] == [garbage(random.Random(5)) for _ in range(3)]


async def test_unreachable_server_is_a_fault(unused_tcp_port: int) -> None:
    tally = SoakTally()
    await run_scenario(f"127.0.0.1:{unused_tcp_port}", random.Random(0), tally)
    assert tally.faults == {"connection refused": 1}


async def test_protocol_violations_are_counted() -> None:
    """A server that sends events of an unknown context, an internal error, and closes with 1011."""

    async def lie(request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse(protocols=["sayline.v1.json"])
        await socket.prepare(request)
        await socket.send_json({"type": "ready"})
        await socket.receive()
        await socket.send_json({"type": "done", "context_id": "never"})
        await socket.send_json({"type": "error", "code": "internal", "final": True, "context_id": "c"})
        await socket.close(code=1011)
        return socket

    class Json(random.Random):
        def choice(self, options):  # type: ignore[no-untyped-def]
            return options[0]

    app, tally = web.Application(), SoakTally()
    app.router.add_get("/v1/stream", lie)
    async with serving(app) as address, SoakClient.connected(address, Json(0), tally) as client:
        await client.start("c")
        await client.receive()
        await client.receive_all()
    assert tally.faults == {"done for a context that is over or unknown": 1, "internal error": 1}
    assert tally.ends == {"internal": 1}

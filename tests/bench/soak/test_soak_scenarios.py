"""Every kind of stranger against the real books and sockets, with a model that speaks at once."""

import random
from collections.abc import AsyncIterator

import pytest
from aiohttp import web

from sayline_tts.bench.soak import soak_scenarios
from sayline_tts.bench.soak.soak_client import Caller, Tally
from sayline_tts.bench.soak.soak_scenarios import VISITS, Visit, rubbish, visit
from sayline_tts.server.app import make_app
from sayline_tts.server.settings import Settings
from tests.server.fakes import FakeEngine
from tests.server.peer import running


@pytest.fixture
async def address() -> AsyncIterator[str]:
    engine = FakeEngine()
    async with running(await make_app(Settings.load(resume_s=0), engine.model, engine)) as where:
        yield where


@pytest.mark.parametrize("kind", VISITS)
async def test_each_of_them_comes_and_goes(kind: Visit, address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(soak_scenarios, "VISITS", {kind: 1})
    tally = Tally()
    for seed in range(2):
        await visit(address, random.Random(seed), tally)
    assert tally.visits == {kind.__name__: 2}
    assert not tally.faults


def test_the_same_seed_draws_the_same() -> None:
    assert [rubbish(random.Random(5)) for _ in range(3)] == [rubbish(random.Random(5)) for _ in range(3)]


async def test_a_server_that_is_not_there_is_a_fault(unused_tcp_port: int) -> None:
    tally = Tally()
    await visit(f"127.0.0.1:{unused_tcp_port}", random.Random(0), tally)
    assert tally.faults == {"nobody answers": 1}


async def test_broken_promises_are_seen() -> None:
    """A server that speaks of what nobody began, says that a fault is its own, and hangs up with 1011."""

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

    app, tally = web.Application(), Tally()
    app.router.add_get("/v1/stream", lie)
    async with running(app) as address, Caller.called(address, Json(0), tally) as caller:
        await caller.start("c")
        await caller.hear()
        await caller.hear_out()
    assert tally.faults == {"done of a context that is over or never was": 1, "internal error": 1}
    assert tally.ends == {"internal": 1}

import aiohttp
import pytest
from aiohttp import web

from sayline_tts.server.app import make_app
from sayline_tts.server.http.monitoring import Health, add_routes
from sayline_tts.server.metrics import GAUGES, Metrics
from sayline_tts.server.settings import Settings
from tests.server.fakes import FakeEngine
from tests.server.stream_client import connected_client, serving

GAUGE_SOURCES = {name: lambda: 7.0 for name in GAUGES if name != "tasks"}
HEALTHY = Health(lambda: True, lambda: True, dict)


@pytest.mark.parametrize(
    ("alive", "obstacle", "expected"),
    [
        (True, None, {"/health": (200, "healthy"), "/healthz": (200, "ok"), "/readyz": (200, "ready")}),
        (True, "it stops", {"/health": (200, "healthy"), "/healthz": (200, "ok"), "/readyz": (503, "stopping")}),
        (False, "it stops", {"/health": (503, "failed"), "/healthz": (503, "failed"), "/readyz": (503, "failed")}),
    ],
)
async def test_health_endpoints_report_liveness_and_readiness(
    alive: bool, obstacle: str | None, expected: dict[str, tuple[int, str]]
) -> None:
    app = web.Application()
    health = Health(lambda: alive, lambda: obstacle is None, lambda: {"sessions": 3}, lambda: obstacle)
    add_routes(app, health, Metrics(), GAUGE_SOURCES)
    async with serving(app) as address, aiohttp.ClientSession() as client:
        for path, answer in expected.items():
            async with client.get(f"http://{address}{path}") as response:
                content = await response.json()
                assert (response.status, content["status"]) == answer
                assert ("sessions" in content) == (path == "/healthz")
                if path == "/readyz":
                    assert content.get("reason") == (obstacle if alive else "the engine has failed")
                assert response.headers["Cache-Control"] == "no-store"


async def test_full_server_is_not_ready_and_says_why(engine: FakeEngine) -> None:
    async with (
        serving(await make_app(Settings.load(max_sessions=1), engine.model, engine)) as address,
        connected_client(address),
        aiohttp.ClientSession() as client,
        client.get(f"http://{address}/readyz") as response,
    ):
        content = await response.json()
        assert (response.status, content["status"]) == (503, "full")
        assert content["reason"] == "1 sessions are open, which is the maximum"


async def test_metrics_are_served() -> None:
    app, metrics = web.Application(), Metrics()
    add_routes(app, HEALTHY, metrics, GAUGE_SOURCES)
    metrics.on_context_end("done")
    async with (
        serving(app) as address,
        aiohttp.ClientSession() as client,
        client.get(f"http://{address}/metrics") as response,
    ):
        assert response.status == 200
        assert response.headers["Content-Type"].startswith("text/plain; version=0.0.4")
        lines = (await response.text()).splitlines()
    assert 'sayline_contexts_over_total{outcome="done"} 1.0' in lines
    assert "sayline_slots_used 7.0" in lines
    tasks = next(float(line.split()[1]) for line in lines if line.startswith("sayline_tasks "))
    assert tasks >= 1


def test_missing_gauge_source_is_an_assertion() -> None:
    sources = {name: source for name, source in GAUGE_SOURCES.items() if name != "sessions"}
    with pytest.raises(AssertionError, match="sessions"):
        add_routes(web.Application(), HEALTHY, Metrics(), sources)

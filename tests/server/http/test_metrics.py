import aiohttp
import pytest
from aiohttp import web

from sayline_tts.server.http.metrics import PATH, add_routes
from sayline_tts.server.metrics import GAUGES, Metrics
from tests.server.stream_client import serving

WHERE = {name: lambda: 7.0 for name in GAUGES if name != "tasks"}


async def test_metrics_are_served() -> None:
    app, metrics = web.Application(), Metrics()
    add_routes(app, metrics, WHERE)
    metrics.on_context_end("done")
    async with serving(app) as address, aiohttp.ClientSession() as client, client.get(f"http://{address}{PATH}") as got:
        assert got.status == 200
        assert got.headers["Content-Type"].startswith("text/plain; version=0.0.4")
        lines = (await got.text()).splitlines()
    assert 'sayline_contexts_over_total{outcome="done"} 1.0' in lines
    assert "sayline_slots_used 7.0" in lines
    tasks = next(float(line.split()[1]) for line in lines if line.startswith("sayline_tasks "))
    assert tasks >= 1


def test_missing_gauge_source_is_an_assertion() -> None:
    with pytest.raises(AssertionError, match="sessions"):
        add_routes(web.Application(), Metrics(), {name: where for name, where in WHERE.items() if name != "sessions"})

from typing import Any

import aiohttp
import pytest
from aiohttp import web

from sayline_tts.server.http.health import Health, add_routes
from tests.server.stream_client import serving


@pytest.mark.parametrize(
    ("alive", "accepting", "expected"),
    [
        (True, True, {"/health": (200, "healthy"), "/healthz": (200, "ok"), "/readyz": (200, "ready")}),
        (True, False, {"/health": (200, "healthy"), "/healthz": (200, "ok"), "/readyz": (503, "stopping")}),
        (False, False, {"/health": (503, "failed"), "/healthz": (503, "failed"), "/readyz": (503, "failed")}),
    ],
)
async def test_health_endpoints_report_liveness_and_readiness(
    alive: bool, accepting: bool, expected: dict[str, Any]
) -> None:
    app = web.Application()
    add_routes(app, Health(lambda: alive, lambda: accepting, lambda: {"sessions": 3}))
    async with serving(app) as address, aiohttp.ClientSession() as client:
        for path, answer in expected.items():
            async with client.get(f"http://{address}{path}") as response:
                content = await response.json()
                assert (response.status, content["status"]) == answer
                assert ("sessions" in content) == (path == "/healthz")
                assert response.headers["Cache-Control"] == "no-store"

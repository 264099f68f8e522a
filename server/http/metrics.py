"""`GET /metrics`: metrics for Prometheus."""

import asyncio
from collections.abc import Callable, Mapping

from aiohttp import web

from sayline_tts.server.metrics import GAUGES, Metrics

METRICS = web.AppKey("metrics", Metrics)
PATH = "/metrics"


def add_routes(app: web.Application, metrics: Metrics, sources: Mapping[str, Callable[[], float]]) -> None:
    """`sources`: a function for each name in `metrics.GAUGES`, except `tasks`."""
    all_sources = {"tasks": lambda: len(asyncio.all_tasks()), **sources}
    assert all_sources.keys() == GAUGES.keys(), all_sources.keys() ^ GAUGES.keys()
    app[METRICS] = metrics
    metrics.set_gauge_sources(**all_sources)
    app.router.add_get(PATH, _metrics)


async def _metrics(request: web.Request) -> web.Response:
    metrics = request.app[METRICS]
    return web.Response(body=metrics.render(), headers={"Content-Type": metrics.content_type})

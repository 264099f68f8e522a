"""`GET /metrics`: what the server has counted and measured. Knows where in the server each number can be looked up."""

import asyncio
from collections.abc import Callable, Mapping

from aiohttp import web

from sayline_tts.server.metrics import WATCHED, Metrics

METRICS = web.AppKey("metrics", Metrics)
PATH = "/metrics"


def add_routes(app: web.Application, metrics: Metrics, watched: Mapping[str, Callable[[], float]]) -> None:
    """`watched`: for each name in `metrics.WATCHED` but `tasks`, where to look."""
    everything = {"tasks": lambda: len(asyncio.all_tasks()), **watched}
    assert everything.keys() == WATCHED.keys(), everything.keys() ^ WATCHED.keys()
    app[METRICS] = metrics
    metrics.watch(**everything)
    app.router.add_get(PATH, _metrics)


async def _metrics(request: web.Request) -> web.Response:
    metrics = request.app[METRICS]
    return web.Response(body=metrics.render(), headers={"Content-Type": metrics.content_type})

"""Health checks for supervisors and load balancers, which need no API key, and metrics for Prometheus."""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from aiohttp import web

from sayline_tts.server.access import middleware
from sayline_tts.server.metrics import GAUGES, Metrics
from sayline_tts.server.synthesis.speech_engine import SpeechEngine


@dataclass(frozen=True)
class Health:
    """`alive`: the engine works. `accepting`: the server is not stopping. `report`: current load.

    `obstacle`: why no new session is accepted, None if one is. `obstacles`: the same of what else may keep clients out.
    """

    alive: Callable[[], bool]
    accepting: Callable[[], bool]
    report: Callable[[], Mapping[str, object]]
    obstacle: Callable[[], str | None] = lambda: None
    obstacles: list[Callable[[], str | None]] = field(default_factory=list)

    def obstacle_now(self) -> str | None:
        """The first reason why new clients should go elsewhere; None if there is none."""
        reasons = (obstacle() for obstacle in (self.obstacle, *self.obstacles))
        return next((reason for reason in reasons if reason is not None), None)


HEALTH = web.AppKey("health", Health)
METRICS = web.AppKey("metrics", Metrics)


def add_routes(
    app: web.Application, health: Health, metrics: Metrics, sources: Mapping[str, Callable[[], float]]
) -> None:
    """`sources`: a function for each name in `metrics.GAUGES`, except `tasks`."""
    all_sources = {"tasks": lambda: len(asyncio.all_tasks()), **sources}
    assert all_sources.keys() == GAUGES.keys(), all_sources.keys() ^ GAUGES.keys()
    metrics.set_gauge_sources(**all_sources)
    app[HEALTH], app[METRICS] = health, metrics
    app.add_routes([web.get("/health", _health), web.get("/healthz", _healthz), web.get("/readyz", _readyz)])
    app.router.add_get("/metrics", _metrics)


def engine_gauges(engine: SpeechEngine) -> dict[str, Callable[[], float]]:
    """The sources that every process has that speaks, or has others speak."""
    return {
        "slots": lambda: engine.slots,
        "slots_used": lambda: engine.slots_used,
        "capacity": lambda: engine.capacity,
        "speaking": lambda: engine.speaking,
        "waiting": lambda: engine.waiting,
        "contexts": lambda: len(engine.streams),
        "codec_backlog_frames": lambda: engine.codec_backlog,
        "codec_workers": lambda: engine.codec_workers,
        "codec_restarts": lambda: engine.codec_restarts,
        "repeat_cache_bytes": lambda: engine.streams.repeats.used_bytes,
    }


def engine_report(engine: SpeechEngine) -> dict[str, object]:
    """What every such process says of its load in `/healthz`."""
    return {
        "speaking": engine.speaking,
        "waiting": engine.waiting,
        "capacity": engine.capacity,
        "codec_workers": engine.codec_workers,
        "codec_restarts": engine.codec_restarts,
    }


@middleware.public
async def _health(request: web.Request) -> web.Response:
    """The same response as Pocket TTS' server."""
    alive = request.app[HEALTH].alive()
    return _json({"status": "healthy" if alive else "failed"}, alive)


@middleware.public
async def _healthz(request: web.Request) -> web.Response:
    health = request.app[HEALTH]
    alive = health.alive()
    return _json({"status": "ok" if alive else "failed", **health.report()}, alive)


@middleware.public
async def _readyz(request: web.Request) -> web.Response:
    """Fails while new clients should go elsewhere, and says why; open sessions are not affected."""
    health = request.app[HEALTH]
    if not health.alive():
        return _json({"status": "failed", "reason": "the engine has failed"}, False)
    if (reason := health.obstacle_now()) is not None:
        return _json({"status": "full" if health.accepting() else "stopping", "reason": reason}, False)
    return _json({"status": "ready"}, True)


async def _metrics(request: web.Request) -> web.Response:
    metrics = request.app[METRICS]
    body, content_type = metrics.render(request.headers.get("Accept", ""))
    return web.Response(body=body, headers={"Content-Type": content_type})


def _json(report: Mapping[str, object], good: bool) -> web.Response:
    return web.json_response(report, status=200 if good else 503, headers={"Cache-Control": "no-store"})

"""Health checks for supervisors and load balancers. They need no API key."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from aiohttp import web

from sayline_tts.server.access import middleware


@dataclass(frozen=True)
class Health:
    """`alive`: the engine works. `accepting`: new sessions may start. `report`: current load."""

    alive: Callable[[], bool]
    accepting: Callable[[], bool]
    report: Callable[[], Mapping[str, object]]


HEALTH = web.AppKey("health", Health)


def add_routes(app: web.Application, health: Health) -> None:
    app[HEALTH] = health
    app.add_routes([web.get("/health", _health), web.get("/healthz", _healthz), web.get("/readyz", _readyz)])


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
    """Fails during shutdown, so that load balancers send no new clients while open sessions finish."""
    health = request.app[HEALTH]
    if not health.alive():
        return _json({"status": "failed"}, False)
    accepting = health.accepting()
    return _json({"status": "ready" if accepting else "stopping"}, accepting)


def _json(report: Mapping[str, object], good: bool) -> web.Response:
    return web.json_response(report, status=200 if good else 503, headers={"Cache-Control": "no-store"})

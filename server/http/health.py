"""Is it alive, is it ready, what goes on: for people, supervisors and load balancers. Nobody needs a key for that."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from aiohttp import web

from sayline_tts.server.access import middleware


@dataclass(frozen=True)
class Health:
    """`alive`: it can speak. `accepting`: it may begin to. `report`: what goes on."""

    alive: Callable[[], bool]
    accepting: Callable[[], bool]
    report: Callable[[], Mapping[str, object]]


HEALTH = web.AppKey("health", Health)


def add_routes(app: web.Application, health: Health) -> None:
    app[HEALTH] = health
    app.add_routes([web.get("/health", _health), web.get("/healthz", _healthz), web.get("/readyz", _readyz)])


@middleware.public
async def _health(request: web.Request) -> web.Response:
    """As the reference's server has it."""
    alive = request.app[HEALTH].alive()
    return _json({"status": "healthy" if alive else "failed"}, alive)


@middleware.public
async def _healthz(request: web.Request) -> web.Response:
    health = request.app[HEALTH]
    alive = health.alive()
    return _json({"status": "ok" if alive else "failed", **health.report()}, alive)


@middleware.public
async def _readyz(request: web.Request) -> web.Response:
    """No, while it stops: load balancers send nobody any more, and who is there goes on."""
    health = request.app[HEALTH]
    if not health.alive():
        return _json({"status": "failed"}, False)
    accepting = health.accepting()
    return _json({"status": "ready" if accepting else "stopping"}, accepting)


def _json(report: Mapping[str, object], good: bool) -> web.Response:
    return web.json_response(report, status=200 if good else 503, headers={"Cache-Control": "no-store"})

"""Metrics and health of an engine over HTTP, on a port of its own: it has no other HTTP server."""

import socket

from aiohttp import web

from sayline_tts.server.fleet.engine_server import EngineServer
from sayline_tts.server.http import monitoring
from sayline_tts.server.http.monitoring import Health
from sayline_tts.server.metrics import Metrics
from sayline_tts.server.network.acceptor import Acceptor, ConnectionLimits
from sayline_tts.server.network.http_connection import HANDLER_ARGS

LIMITS = ConnectionLimits(total=64, per_address=32)
STOPPING = "this engine stops"


class EngineMonitor:
    """It is ready until its engine drains or has failed; a full engine is ready, because fronts know its load."""

    def __init__(self, server: EngineServer, metrics: Metrics) -> None:
        self._app = web.Application(handler_args=dict(HANDLER_ARGS))
        engine = server.engine_loop
        health = Health(
            alive=lambda: engine.alive,
            accepting=lambda: not server.draining,
            report=lambda: {
                "model": engine.model.checkpoint.name,
                "fronts": server.fronts,
                **monitoring.engine_report(engine),
            },
            obstacle=lambda: STOPPING if server.draining else None,
        )
        gauges = {"sessions": lambda: 0, "fronts": lambda: server.fronts, "engines": lambda: 0}
        monitoring.add_routes(self._app, health, metrics, {**monitoring.engine_gauges(engine), **gauges})
        self._runner = web.AppRunner(self._app, access_log=None)
        self._acceptor: Acceptor | None = None

    async def start(self, listener: socket.socket) -> None:
        await self._runner.setup()
        assert self._runner.server is not None
        self._acceptor = Acceptor(self._runner.server, listener, LIMITS)
        self._acceptor.start()

    async def stop(self) -> None:
        if self._acceptor is not None:
            await self._acceptor.stop()
        await self._runner.cleanup()

"""The HTTP doors of a server whose model is fake and whose sockets are real, without its WebSocket and its page."""

import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
from aiohttp import web

from sayline_tts.engine.engine import Engine
from sayline_tts.server.access import middleware
from sayline_tts.server.app_state import Shared
from sayline_tts.server.http import api as http_api
from sayline_tts.server.http import errors as http_errors
from sayline_tts.server.metrics import Metrics
from sayline_tts.server.settings import Settings
from sayline_tts.server.synthesis.engine_loop import Worker
from sayline_tts.server.voices.store import VoiceStore
from sayline_tts.server.voices.url import VoiceUrls
from tests.server.peer import running


@dataclass
class Doors:
    url: str
    client: aiohttp.ClientSession
    shared: Shared

    def post(self, path: str, **fields: Any) -> Any:
        return self.client.post(self.url + path, json=fields)

    async def refused(self, path: str, **fields: Any) -> tuple[int, dict[str, Any]]:
        async with self.post(path, **fields) as response:
            assert response.content_type == "application/json"
            told = json.loads(await response.text())["error"]
            assert set(told) == {"message", "type", "param", "code"}
            return response.status, told


@asynccontextmanager
async def doors(
    engine: Engine,
    folder: Path,
    accepting: Callable[[], bool] = lambda: True,
    urls: VoiceUrls | None = None,
    headers: dict[str, str] | None = None,
    **settings: Any,
) -> AsyncIterator[Doors]:
    app = web.Application(middlewares=[http_errors.tell_errors])
    loaded = Settings.load(keys_file=str(folder / "keys.json"), data=str(folder), **settings)
    middleware.install(app, loaded)
    metrics = Metrics()
    worker = Worker(engine, metrics, VoiceStore(loaded.voices_path))
    shared = Shared(worker, loaded, app[middleware.LEDGER], metrics)
    app.add_routes(http_api.routes(shared, accepting, urls))

    async def alive(_: web.Application) -> AsyncIterator[None]:
        worker.start()
        yield
        await worker.stop()

    app.cleanup_ctx.append(alive)
    async with running(app) as address, aiohttp.ClientSession(headers=headers) as client:
        yield Doors(f"http://{address}", client, shared)

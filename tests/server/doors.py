"""The HTTP doors of a server whose model is fake and whose sockets are real, without its WebSocket and its page."""

import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
from aiohttp import web

from engine.engine import Engine
from server.access import door
from server.http import api as http_api
from server.http import errors as http_errors
from server.metrics import Metrics
from server.settings import Settings
from server.shared import Shared
from server.speaking.worker import Worker
from server.voices.store import VoiceStore
from server.voices.url import VoiceUrls
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
    door.install(app, loaded)
    metrics = Metrics()
    worker = Worker(engine, metrics, VoiceStore(loaded.voices_path))
    shared = Shared(worker, loaded, app[door.LEDGER], metrics)
    app.add_routes(http_api.routes(shared, accepting, urls))

    async def alive(_: web.Application) -> AsyncIterator[None]:
        worker.start()
        yield
        await worker.stop()

    app.cleanup_ctx.append(alive)
    async with running(app) as address, aiohttp.ClientSession(headers=headers) as client:
        yield Doors(f"http://{address}", client, shared)

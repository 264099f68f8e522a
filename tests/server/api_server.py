"""A server with the HTTP speech API, a fake or real engine, and real sockets."""

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
from sayline_tts.server.app_state import AppState
from sayline_tts.server.http import api as http_api
from sayline_tts.server.http import errors as http_errors
from sayline_tts.server.metrics import Metrics
from sayline_tts.server.settings import Settings
from sayline_tts.server.synthesis.engine_loop import EngineLoop
from sayline_tts.server.voices.store import VoiceStore
from sayline_tts.server.voices.url import VoiceDownloader
from tests.server.stream_client import serving


@dataclass
class ApiServer:
    url: str
    client: aiohttp.ClientSession
    shared: AppState

    def post(self, path: str, **fields: Any) -> Any:
        return self.client.post(self.url + path, json=fields)

    async def refused(self, path: str, **fields: Any) -> tuple[int, dict[str, Any]]:
        async with self.post(path, **fields) as response:
            assert response.content_type == "application/json"
            told = json.loads(await response.text())["error"]
            assert set(told) == {"message", "type", "param", "code"}
            return response.status, told


@asynccontextmanager
async def api_server(
    engine: Engine,
    folder: Path,
    accepting: Callable[[], bool] = lambda: True,
    downloader: VoiceDownloader | None = None,
    headers: dict[str, str] | None = None,
    **settings: Any,
) -> AsyncIterator[ApiServer]:
    app = web.Application(middlewares=[http_errors.error_middleware])
    loaded = Settings.load(keys_file=str(folder / "keys.json"), data=str(folder), **settings)
    middleware.install(app, loaded)
    metrics = Metrics()
    engine_loop = EngineLoop(engine, metrics, VoiceStore(loaded.voices_path))
    shared = AppState(engine_loop, loaded, app[middleware.QUOTAS], metrics)
    app.add_routes(http_api.routes(http_api.SpeechHandlers(shared, accepting, downloader)))

    async def alive(_: web.Application) -> AsyncIterator[None]:
        engine_loop.start()
        yield
        await engine_loop.stop()

    app.cleanup_ctx.append(alive)
    async with serving(app) as address, aiohttp.ClientSession(headers=headers) as client:
        yield ApiServer(f"http://{address}", client, shared)

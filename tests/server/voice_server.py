"""A model that makes voices at once, and the two doors that lead to it, on a real socket."""

import io
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import Event
from types import SimpleNamespace
from typing import Any, cast

import aiohttp
import msgspec
import numpy as np
import torch
from aiohttp import web

from sayline_tts.engine.checkpoint.config import FlowLMTransformerConfig
from sayline_tts.engine.errors import VoiceError
from sayline_tts.engine.models.model import Model
from sayline_tts.engine.models.voice import Voice, load_voice_file
from sayline_tts.server.access import middleware
from sayline_tts.server.access.keys import KeyFile
from sayline_tts.server.access.limits import Limits
from sayline_tts.server.http import voices as http_voices
from sayline_tts.server.http.errors import error_middleware
from sayline_tts.server.settings import Settings
from sayline_tts.server.voices.store import VoiceStore
from sayline_tts.server.voices.url import VoiceDownloader
from sayline_tts.server.voices.voices import Voices
from tests.server.fakes import FakeModel
from tests.server.stream_client import serving

SHAPE = FlowLMTransformerConfig(hidden_scale=4, max_period=10_000, d_model=8, num_heads=2, num_layers=2)


class FakeCloningModel(FakeModel):
    """Makes voices of two layers, as long as their audio. Clearing `may_clone` blocks it."""

    config = SimpleNamespace(
        default_temperature=0.3, default_eos_threshold=-4.0, flow_lm=SimpleNamespace(transformer=SHAPE)
    )

    def __init__(self) -> None:
        super().__init__()
        self.may_clone, self.cloning = Event(), Event()
        self.may_clone.set()
        self.next_error: Exception | None = None

    def encode_voice(self, audio: np.ndarray) -> Voice:
        self.cloning.set()
        assert self.may_clone.wait(30)
        if self.next_error is not None:
            raise self.next_error
        return some_voice(max(1, len(audio) // self.frame_samples))

    def load_voice(self, source: str | Path) -> Voice:
        if isinstance(source, str):
            return super().load_voice(source)
        if not source.exists():
            raise VoiceError(f"{source.name}: no such file")
        self.loaded.append(source.stem)
        return load_voice_file(source, SHAPE)


def some_voice(positions: int = 5) -> Voice:
    keys = torch.arange(float(2 * 2 * positions * 4)).reshape(2, 2, positions, 4) / 100
    return Voice(keys, -keys)


@dataclass
class VoiceServer:
    address: str
    voices: Voices
    model: FakeCloningModel
    keys: dict[str, str]  # by name

    async def request(self, method: str, path: str, key: str = "", data: Any = None, **headers: str) -> "Response":
        """Send a request to `/v1/voices`. `key`: the name of an API key."""
        if key:
            headers["Authorization"] = f"Bearer {self.keys[key]}"
        url = f"http://{self.address}/v1/voices{path}"
        async with (
            aiohttp.ClientSession() as client,
            client.request(method, url, data=data, headers=headers) as response,
        ):
            return Response(response.status, await response.read(), dict(response.headers))

    async def create(self, key: str = "", **fields: Any) -> "Response":
        return await self.request("POST", "", key, form(**fields))


@dataclass
class Response:
    status: int
    body: bytes
    headers: dict[str, str]

    @property
    def json(self) -> Any:
        return msgspec.json.decode(self.body)

    @property
    def code(self) -> str:
        return str(self.json["error"]["code"])


def form(**fields: Any) -> aiohttp.FormData:
    """A form as browsers send it, with consent unless overridden. Fields that are None are omitted."""
    data = aiohttp.FormData(default_to_multipart=True)
    for name, value in {"consent": "true", **fields}.items():
        if isinstance(value, bytes):
            data.add_field(name, io.BytesIO(value), filename="recording", content_type="application/octet-stream")
        elif value is not None:
            data.add_field(name, value)
    return data


@asynccontextmanager
async def voice_server(
    folder: Path,
    model: FakeCloningModel | None = None,
    downloader: VoiceDownloader | None = None,
    keys: dict[str, Limits] | None = None,
    **more: Any,
) -> AsyncIterator[VoiceServer]:
    settings = Settings.load(data=str(folder), keys_file=str(folder / "keys.json"), **more)
    secrets = {name: KeyFile(settings.keys_path).add(name, limits) for name, limits in (keys or {}).items()}
    model = model or FakeCloningModel()
    voices = Voices(cast(Model, model), VoiceStore(settings.voices_path))
    app = web.Application(middlewares=[error_middleware])
    middleware.install(app, settings)
    app.add_routes(http_voices.routes(voices, settings, downloader))
    try:
        async with serving(app) as address:
            yield VoiceServer(address, voices, model, secrets)
    finally:
        model.may_clone.set()
        voices.cancel()
        voices.close()

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
from sayline_tts.server.http.errors import tell_errors
from sayline_tts.server.settings import Settings
from sayline_tts.server.voices.store import VoiceStore
from sayline_tts.server.voices.url import VoiceUrls
from sayline_tts.server.voices.voices import Voices
from tests.server.fakes import FakeModel
from tests.server.peer import running

SHAPE = FlowLMTransformerConfig(hidden_scale=4, max_period=10_000, d_model=8, num_heads=2, num_layers=2)


class CloningModel(FakeModel):
    """Voices of two layers, as long as their audio. `may_clone` holds it up."""

    config = SimpleNamespace(
        default_temperature=0.3, default_eos_threshold=-4.0, flow_lm=SimpleNamespace(transformer=SHAPE)
    )

    def __init__(self) -> None:
        super().__init__()
        self.may_clone, self.cloning = Event(), Event()
        self.may_clone.set()
        self.fault: Exception | None = None

    def encode_voice(self, audio: np.ndarray) -> Voice:
        self.cloning.set()
        assert self.may_clone.wait(30)
        if self.fault is not None:
            raise self.fault
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
class Server:
    address: str
    voices: Voices
    model: CloningModel
    keys: dict[str, str]  # by name

    async def ask(self, method: str, path: str, key: str = "", data: Any = None, **headers: str) -> "Answer":
        """`key`: the name of one."""
        if key:
            headers["Authorization"] = f"Bearer {self.keys[key]}"
        url = f"http://{self.address}/v1/voices{path}"
        async with aiohttp.ClientSession() as client, client.request(method, url, data=data, headers=headers) as answer:
            return Answer(answer.status, await answer.read(), dict(answer.headers))

    async def make(self, key: str = "", **fields: Any) -> "Answer":
        return await self.ask("POST", "", key, form(**fields))


@dataclass
class Answer:
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
    """As a browser sends it; what is None is left out. Consent is given unless the field says otherwise."""
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
    model: CloningModel | None = None,
    urls: VoiceUrls | None = None,
    keys: dict[str, Limits] | None = None,
    **more: Any,
) -> AsyncIterator[Server]:
    settings = Settings.load(data=str(folder), keys_file=str(folder / "keys.json"), **more)
    given = {name: KeyFile(settings.keys_path).add(name, limits) for name, limits in (keys or {}).items()}
    model = model or CloningModel()
    voices = Voices(cast(Model, model), VoiceStore(settings.voices_path))
    app = web.Application(middlewares=[tell_errors])
    middleware.install(app, settings)
    app.add_routes(http_voices.routes(voices, settings, urls))
    try:
        async with running(app) as address:
            yield Server(address, voices, model, given)
    finally:
        model.may_clone.set()
        voices.cancel()
        voices.close()

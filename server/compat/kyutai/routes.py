"""The socket and the HTTP endpoints of Kyutai's server."""

from typing import Annotated

import msgspec
from aiohttp import web
from msgspec import Meta

from sayline_tts.server.access.auth import KeyPlaces, accepts_keys
from sayline_tts.server.access.middleware import CALLER, public
from sayline_tts.server.audio.formats import Format, FormatError
from sayline_tts.server.compat.adapter import MODEL_PCM
from sayline_tts.server.compat.kyutai.protocol import DEFAULT_FORMAT, FORMATS, KyutaiAdapter, Options
from sayline_tts.server.compat.services import Services
from sayline_tts.server.http.body import Body
from sayline_tts.server.http.requests import SpeechRequest, read_json

PATH = "/api/tts_streaming"


class SpeechBody(msgspec.Struct, frozen=True):
    text: str
    voice: str | None = None
    seed: Annotated[int, Meta(ge=0, lt=2**53)] | None = None


class Handlers:
    def __init__(self, services: Services) -> None:
        self._services = services

    @accepts_keys(KeyPlaces(query=("auth_id",)))
    async def stream(self, request: web.Request) -> web.StreamResponse:
        query = request.query
        name, seed = query.get("format", DEFAULT_FORMAT), query.get("seed", "")
        if name not in FORMATS:
            raise FormatError(f"unknown format {name[:30]!r}; use one of: {', '.join(FORMATS)}")
        format, packed = FORMATS[name]
        options = Options(
            self._services.aliases.resolve(query.get("voice"), request[CALLER]),
            format,
            packed,
            int(seed) if seed.isascii() and seed.isdigit() and len(seed) <= 15 else None,
        )
        return await self._services.open_socket(request, KyutaiAdapter(options))

    async def speak(self, request: web.Request) -> web.StreamResponse:
        body = await read_json(request, SpeechBody)
        voice = self._services.aliases.resolve(body.voice, request[CALLER])
        params = SpeechRequest(body.text, voice, Format.WAV, MODEL_PCM.sample_rate_hz, seed=body.seed)
        return await self._services.speak(request, params, Body.stream)


@public
async def build_info(request: web.Request) -> web.Response:
    """Clients ask for it to know whether the server is there."""
    return web.json_response({"name": "sayline"})


def routes(services: Services) -> list[web.RouteDef]:
    handlers = Handlers(services)
    return [web.get(PATH, handlers.stream), web.post(PATH, handlers.speak), web.get("/api/build_info", build_info)]

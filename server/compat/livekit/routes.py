"""LiveKit Inference's socket."""

import secrets

from aiohttp import web

from sayline_tts.server.compat.livekit.protocol import InferenceAdapter
from sayline_tts.server.compat.services import Services


def routes(services: Services) -> list[web.RouteDef]:
    async def speak(request: web.Request) -> web.StreamResponse:
        return await services.open_socket(request, InferenceAdapter(secrets.token_hex(8)))

    return [web.get("/v1/tts", speak)]

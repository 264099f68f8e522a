"""The socket of OpenAI's Realtime API."""

import secrets

from aiohttp import web

from sayline_tts.server.compat.openai_realtime.protocol import RealtimeAdapter
from sayline_tts.server.compat.services import Services

SUBPROTOCOL = "realtime"  # which browsers offer beside their key


def routes(services: Services) -> list[web.RouteDef]:
    async def speak(request: web.Request) -> web.StreamResponse:
        model = request.query.get("model", "")[:200]
        return await services.open_socket(request, RealtimeAdapter(model, f"sess_{secrets.token_hex(8)}"), SUBPROTOCOL)

    return [web.get("/v1/realtime", speak)]

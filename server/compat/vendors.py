"""The table of protocols besides the native one. A new one is a folder with two files, and a row here."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field

from aiohttp import web

from sayline_tts.server.compat.cartesia import routes as cartesia
from sayline_tts.server.compat.deepgram import routes as deepgram
from sayline_tts.server.compat.elevenlabs import routes as elevenlabs
from sayline_tts.server.compat.gradium import routes as gradium
from sayline_tts.server.compat.jambonz import routes as jambonz
from sayline_tts.server.compat.kokoro import routes as kokoro
from sayline_tts.server.compat.kyutai import routes as kyutai
from sayline_tts.server.compat.livekit import routes as livekit
from sayline_tts.server.compat.openai_realtime import routes as openai_realtime
from sayline_tts.server.compat.services import Services
from sayline_tts.server.compat.vapi import routes as vapi
from sayline_tts.server.http.errors import ERROR_BODIES, ErrorBody, error_body
from sayline_tts.server.http.page import CLIENTS

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
SetHeaders = Callable[[web.Request, web.StreamResponse], Awaitable[None]]


@dataclass(frozen=True)
class Vendor:
    """`routes` None: it has a port of its own.

    `key_header`: marks requests of this vendor's clients on paths that several use, which `answers` serves.
    `set_headers`: of all answers on its paths, refusals too. `base`: what its clients' URL has after the server's.
    """

    name: str
    title: str
    routes: Callable[[Services], list[web.RouteDef]] | None = None
    error_body: ErrorBody = error_body
    key_header: str = ""
    answers: Callable[[Services], Mapping[str, Handler]] = field(default=lambda services: {})
    set_headers: SetHeaders | None = None
    base: str = ""


VENDORS = (
    Vendor("elevenlabs", "ElevenLabs", elevenlabs.routes, elevenlabs.error_body, "xi-api-key", elevenlabs.answers),
    Vendor("cartesia", "Cartesia", cartesia.routes, cartesia.error_body, "Cartesia-Version", cartesia.answers),
    Vendor("deepgram", "Deepgram", deepgram.routes, deepgram.error_body, set_headers=deepgram.set_headers),
    Vendor("gradium", "Gradium", gradium.routes, base="/api/"),
    Vendor("jambonz", "jambonz", jambonz.routes, base="/jambonz/speech"),
    Vendor("kokoro", "Kokoro-FastAPI", kokoro.routes, kokoro.error_body),
    Vendor("kyutai", "Kyutai", kyutai.routes),
    Vendor("livekit", "LiveKit Inference", livekit.routes, base="/v1"),
    Vendor("openai-realtime", "OpenAI Realtime", openai_realtime.routes, base="/v1"),
    Vendor("vapi", "Vapi", vapi.routes, base="/vapi/speech"),
    Vendor("wyoming", "Wyoming"),  # `sayline_tts.server.compat.wyoming.server`
)


def add_routes(app: web.Application, services: Services) -> None:
    """Add the routes of every vendor that the settings do not leave out."""
    error_bodies: dict[str, ErrorBody] = {}
    clients = {"OpenAI": "/v1"}
    answers: dict[tuple[str, str], Handler] = {}
    headers_of: dict[str, SetHeaders] = {}
    for vendor in VENDORS:
        if vendor.routes is not None and vendor.name in services.state.settings.protocols:
            routes = vendor.routes(services)
            app.add_routes(routes)
            error_bodies |= {route.path: vendor.error_body for route in routes}
            answers |= {(vendor.key_header, path): handler for path, handler in vendor.answers(services).items()}
            clients[vendor.title] = vendor.base
            if vendor.set_headers is not None:
                headers_of |= dict.fromkeys((route.path for route in routes), vendor.set_headers)
    app[ERROR_BODIES], app[CLIENTS] = error_bodies, clients
    headers = dict.fromkeys(header for header, _ in answers)

    @web.middleware
    async def answer_vendor(request: web.Request, handler: Handler) -> web.StreamResponse:
        resource = request.match_info.route.resource
        if resource is not None and request.method == "GET":
            for header in headers:
                if header in request.headers and (found := answers.get((header, resource.canonical))):
                    return await found(request)
        return await handler(request)

    async def set_headers(request: web.Request, response: web.StreamResponse) -> None:
        resource = request.match_info.route.resource
        if resource is not None and (set_vendor_headers := headers_of.get(resource.canonical)):
            await set_vendor_headers(request, response)

    app.on_response_prepare.append(set_headers)
    app.middlewares.append(answer_vendor)  # after access control, which must come first

"""jambonz's custom voice: the addresses that its speech credentials are given."""

import msgspec
from aiohttp import web

from sayline_tts.server.access.middleware import CALLER
from sayline_tts.server.audio.formats import Format, FormatError
from sayline_tts.server.compat.adapter import AudioFormat, language_code
from sayline_tts.server.compat.jambonz.protocol import TELEPHONE, JambonzAdapter, Options
from sayline_tts.server.compat.services import Services
from sayline_tts.server.compat.ssml import without_tags
from sayline_tts.server.http.body import Body
from sayline_tts.server.http.requests import SpeechRequest, read_json

MP3 = "audio/mpeg"  # all that the platform's streaming player decodes; it asks for it


class SpeechBody(msgspec.Struct, frozen=True):
    text: str
    type: str = "text"  # or `ssml`
    voice: str | None = None
    language: str | None = None


def routes(services: Services) -> list[web.RouteDef]:
    async def speak(request: web.Request) -> web.StreamResponse:
        body = await read_json(request, SpeechBody)
        params = SpeechRequest(
            without_tags(body.text) if body.type == "ssml" else body.text,
            services.aliases.resolve(body.voice, request[CALLER]),
            Format.MP3 if MP3 in request.headers.get("Accept", "") else Format.WAV,
            TELEPHONE.sample_rate_hz,
            language=language_code(body.language),
        )
        return await services.speak(request, params, Body.stream)

    async def stream(request: web.Request) -> web.StreamResponse:
        query = request.query
        rate = query.get("sampleRate", str(TELEPHONE.sample_rate_hz))
        if not (rate.isascii() and rate.isdigit() and len(rate) <= 6):
            raise FormatError(f"sampleRate must be a number of Hz, not {rate[:30]!r}")
        options = Options(
            services.aliases.resolve(query.get("voice"), request[CALLER]),
            AudioFormat(Format.PCM, int(rate)),
            language_code(query.get("language")),
        )
        return await services.open_socket(request, JambonzAdapter(options))

    return [web.post("/jambonz/speech", speak), web.get("/jambonz/stream", stream)]

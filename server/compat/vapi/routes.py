"""Vapi's custom voice: raw PCM at the rate that the platform asks for.

What it sends besides the text tells of the call and its people, so it is neither kept nor logged.
"""

import msgspec
from aiohttp import web

from sayline_tts.server.access.middleware import CALLER
from sayline_tts.server.audio.formats import Format
from sayline_tts.server.compat.services import Services
from sayline_tts.server.http.body import Body
from sayline_tts.server.http.errors import RequestError
from sayline_tts.server.http.requests import SpeechRequest, read_json

KIND = "voice-request"


class Voice(msgspec.Struct, frozen=True, rename="camel"):
    voice_id: str | None = None


class Assistant(msgspec.Struct, frozen=True):
    voice: Voice | None = None


class Message(msgspec.Struct, frozen=True, rename="camel"):
    type: str
    text: str
    sample_rate: int = 24_000
    assistant: Assistant | None = None

    @property
    def voice_id(self) -> str | None:
        return self.assistant.voice.voice_id if self.assistant and self.assistant.voice else None


class VoiceRequest(msgspec.Struct, frozen=True):
    message: Message


def routes(services: Services) -> list[web.RouteDef]:
    async def speak(request: web.Request) -> web.StreamResponse:
        message = (await read_json(request, VoiceRequest)).message
        if message.type != KIND:
            raise RequestError(f"unknown message {message.type[:30]!r}; this address takes {KIND} only", "type")
        voice = request.query.get("voice") or message.voice_id
        params = SpeechRequest(
            message.text,
            services.aliases.resolve(voice, request[CALLER]),
            Format.PCM,
            message.sample_rate,
        )
        return await services.speak(request, params, Body.stream)

    return [web.post("/vapi/speech", speak)]

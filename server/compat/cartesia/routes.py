"""Cartesia's socket and HTTP endpoints."""

from collections.abc import Sequence
from typing import Any

import msgspec
from aiohttp import web

from sayline_tts.engine.timing.word_time_estimator import WordTime
from sayline_tts.server.access.middleware import CALLER
from sayline_tts.server.compat.cartesia.protocol import (
    CartesiaAdapter,
    Chunk,
    DoneMessage,
    ServerMessage,
    SpeechFields,
    Timestamps,
    WordTimestamps,
)
from sayline_tts.server.compat.services import Services
from sayline_tts.server.http.api import Respond
from sayline_tts.server.http.body import Body
from sayline_tts.server.http.requests import SpeechRequest, read_json


class EventsRequest(SpeechFields, frozen=True):
    context_id: str = ""
    add_timestamps: bool | None = False


class Handlers:
    def __init__(self, services: Services) -> None:
        self._services = services

    async def websocket(self, request: web.Request) -> web.StreamResponse:
        return await self._services.open_socket(request, CartesiaAdapter())

    async def bytes(self, request: web.Request) -> web.StreamResponse:
        return await self._speak(request, await read_json(request, SpeechFields), Body.stream)

    async def sse(self, request: web.Request) -> web.StreamResponse:
        fields = await read_json(request, EventsRequest)

        def render(data: bytes, words: Sequence[WordTime]) -> bytes:
            times = WordTimestamps(
                [each.word.text for each in words],
                [each.start_ms / 1000 for each in words],
                [each.end_ms / 1000 for each in words],
            )
            timed = fields.add_timestamps and words
            told = _event("timestamps", Timestamps(fields.context_id, word_timestamps=times)) if timed else b""
            return told + (_event("chunk", Chunk(fields.context_id, data=data)) if data else b"")

        done = _event("done", DoneMessage(fields.context_id))
        return await self._speak(request, fields, lambda body: body.messages("text/event-stream", render, lambda: done))

    async def voices(self, request: web.Request) -> web.Response:
        """One page: whatever comes after its last voice is empty."""
        known = self._services.voices(request)
        data = [{"id": voice_id, "name": name} for voice_id, name, _ in known]
        page = [] if "starting_after" in request.query else data
        default = self._services.aliases.default(request[CALLER])
        return web.json_response({"data": page, "has_more": False, "voices": data, "default": default})

    async def _speak(self, request: web.Request, fields: SpeechFields, respond: Respond) -> web.StreamResponse:
        format = fields.audio_format
        params = SpeechRequest(
            fields.transcript,
            self._services.aliases.resolve(fields.voice_id, request[CALLER]),
            format.name,
            format.sample_rate_hz,
            fields.playback_speed,
            clean_up=fields.normalization != "off",
            language=fields.language_code,
        )
        return await self._services.speak(request, params, respond)


def routes(services: Services) -> list[web.RouteDef]:
    handlers = Handlers(services)
    return [
        web.get("/tts/websocket", handlers.websocket),
        web.post("/tts/bytes", handlers.bytes),
        web.post("/tts/sse", handlers.sse),
    ]


def answers(services: Services) -> dict[str, Any]:
    """What clients of this vendor get of paths that others use too."""
    return {"/voices": Handlers(services).voices}


def error_body(status: int, message: str, code: str, param: str | None) -> object:
    return {"title": code, "message": message, "error_code": code, "status_code": status, "error": message}


def _event(kind: str, message: ServerMessage) -> bytes:
    return f"event: {kind}\ndata: {msgspec.json.encode(message).decode()}\n\n".encode()

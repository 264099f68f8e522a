"""Gradium's socket and its HTTP endpoint, by the paths of its cloud and of its open server."""

import secrets
from collections.abc import Sequence

import msgspec
from aiohttp import web

from sayline_tts.engine.timing.word_time_estimator import WordTime
from sayline_tts.server.access.auth import KeyPlaces, accepts_keys
from sayline_tts.server.access.middleware import CALLER
from sayline_tts.server.compat.gradium.protocol import GradiumAdapter, parse_config, parse_format
from sayline_tts.server.compat.services import Services
from sayline_tts.server.http.body import Body
from sayline_tts.server.http.requests import SpeechRequest, read_json

PREFIXES = ("/api", "")
PIPECAT = "pipecat"  # it speaks one turn at a time


class SpeechBody(msgspec.Struct, frozen=True):
    """`only_audio`: raw bytes; else a line of JSON for each piece of audio and each word."""

    text: str
    voice_id: str | None = None
    voice: str | None = None
    output_format: str | None = None
    json_config: str | dict[str, object] | None = None
    only_audio: bool = False


class Handlers:
    def __init__(self, services: Services) -> None:
        self._services = services

    @accepts_keys(KeyPlaces(query=("token",)))
    async def stream(self, request: web.Request) -> web.StreamResponse:
        one_at_a_time = request.headers.get("x-api-source") == PIPECAT
        return await self._services.open_socket(request, GradiumAdapter(secrets.token_hex(8), one_at_a_time))

    async def speak(self, request: web.Request) -> web.StreamResponse:
        body = await read_json(request, SpeechBody)
        format, config = parse_format(body.output_format), parse_config(body.json_config)
        params = SpeechRequest(
            body.text,
            self._services.aliases.resolve(body.voice_id or body.voice, request[CALLER]),
            format.name,
            format.sample_rate_hz,
            config.speed,
            temperature=config.temperature,
        )
        if body.only_audio:
            return await self._services.speak(request, params, Body.stream)
        return await self._services.speak(
            request,
            params,
            lambda answer: answer.messages("application/x-ndjson", render),
            lambda data: web.Response(body=render(data, []), content_type="application/x-ndjson"),
        )


def render(data: bytes, words: Sequence[WordTime]) -> bytes:
    """The words that begin in a piece of audio, and the audio."""
    lines: list[dict[str, object]] = [
        {"type": "text", "text": each.word.text, "start_s": each.start_ms / 1000, "stop_s": each.end_ms / 1000}
        for each in words
    ]
    return b"".join(msgspec.json.encode(line) + b"\n" for line in [*lines, {"type": "audio", "audio": data}])


def routes(services: Services) -> list[web.RouteDef]:
    handlers = Handlers(services)
    return [
        *(web.get(f"{prefix}/speech/tts", handlers.stream) for prefix in PREFIXES),
        *(web.post(f"{prefix}/post/speech/tts", handlers.speak) for prefix in PREFIXES),
    ]

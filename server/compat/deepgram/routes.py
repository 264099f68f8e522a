"""Deepgram's sockets and HTTP endpoints."""

import json
import re
import secrets

import msgspec
from aiohttp import web

from sayline_tts.server.access.middleware import CALLER
from sayline_tts.server.audio.formats import Format, FormatError
from sayline_tts.server.compat.adapter import AudioFormat, clamp_speed, language_code
from sayline_tts.server.compat.deepgram.flux_protocol import FluxAdapter, SpeedError, check_speed
from sayline_tts.server.compat.deepgram.protocol import Options, SpeakAdapter
from sayline_tts.server.compat.services import Services
from sayline_tts.server.http.body import Body
from sayline_tts.server.http.errors import RequestError
from sayline_tts.server.http.requests import SpeechRequest, read_json

RAW = {"linear16": Format.PCM, "mulaw": Format.MULAW, "alaw": Format.ALAW}
FILES = {"mp3": Format.MP3, "opus": Format.OPUS, "flac": Format.FLAC, "aac": Format.AAC}  # over HTTP only
SUBPROTOCOL = "token"  # with which browsers send their key
REQUEST_ID, ERROR = "dg-request-id", "dg-error"
_REQUEST_ID = web.RequestKey("deepgram_request_id", str)
MAX_ERROR_CHARS = 500
_MODEL = re.compile(r"(?:aura-2|aura|flux)-(.+)-([a-z]{2})")  # a voice and a language


class SpeechBody(msgspec.Struct, frozen=True):
    text: str


class Handlers:
    def __init__(self, services: Services) -> None:
        self._services = services

    async def aura_socket(self, request: web.Request) -> web.StreamResponse:
        return await self._services.open_socket(request, SpeakAdapter(self._options(request)), SUBPROTOCOL)

    async def flux_socket(self, request: web.Request) -> web.StreamResponse:
        _check_flux_speed(request)
        return await self._services.open_socket(request, FluxAdapter(self._options(request)), SUBPROTOCOL)

    async def speak(self, request: web.Request) -> web.StreamResponse:
        body = await read_json(request, SpeechBody)
        options = self._options(request, FILES)
        params = SpeechRequest(
            body.text,
            options.voice,
            options.format.name,
            options.format.sample_rate_hz,
            options.speed,
            language=options.language,
        )
        return await self._services.speak(request, params, Body.stream)

    async def flux_speak(self, request: web.Request) -> web.StreamResponse:
        _check_flux_speed(request)
        return await self.speak(request)

    def _options(self, request: web.Request, files: dict[str, Format] | None = None) -> Options:
        """Raises `RequestError`, `FormatError`, `UnknownVoice`."""
        model = request.query.get("model", "")[:200]
        found = _MODEL.fullmatch(model)
        aliases, caller = self._services.aliases, request[CALLER]
        own = aliases.find(found[1], caller) if found and aliases.find(model, caller) is None else None
        return Options(
            own or aliases.resolve(model or None, caller),
            model,
            _format(request, files),
            clamp_speed(_number(request, "speed")),
            language_code(found[2]) if found else None,
            request_id(request),
        )


def routes(services: Services) -> list[web.RouteDef]:
    handlers = Handlers(services)
    return [
        web.get("/v1/speak", handlers.aura_socket),
        web.post("/v1/speak", handlers.speak),
        web.get("/v2/speak", handlers.flux_socket),
        web.post("/v2/speak", handlers.flux_speak),
    ]


def error_body(status: int, message: str, code: str, param: str | None) -> object:
    return {"err_code": code, "err_msg": message}


async def set_headers(request: web.Request, response: web.StreamResponse) -> None:
    """Every answer names its request; clients of sockets read why one was refused in a header."""
    response.headers[REQUEST_ID] = request_id(request)
    if isinstance(response, web.Response) and response.status >= 400 and response.text:
        text = response.text
        if response.content_type == "application/json":
            text = json.loads(text)["err_msg"]
        response.headers[ERROR] = " ".join(text.split())[:MAX_ERROR_CHARS].encode("ascii", "replace").decode()


def request_id(request: web.Request) -> str:
    if _REQUEST_ID not in request:
        request[_REQUEST_ID] = secrets.token_hex(16)
    return request[_REQUEST_ID]


def _format(request: web.Request, files: dict[str, Format] | None) -> AudioFormat:
    """`files`: what is possible besides raw audio. Raises `FormatError`."""
    query = request.query
    encodings = RAW | (files or {})
    encoding = query.get("encoding", "mp3" if files else "linear16")
    if encoding not in encodings:
        raise FormatError(f"unknown encoding {encoding[:30]!r}; use {', '.join(encodings)}")
    format = encodings[encoding]
    if files and format is Format.PCM and query.get("container", "wav") == "wav":
        format = Format.WAV
    rate_hz = _number(request, "sample_rate")
    if rate_hz is not None:
        return AudioFormat(format, int(rate_hz))
    return AudioFormat(format, 8_000 if format in (Format.MULAW, Format.ALAW) else AudioFormat.sample_rate_hz)


def _number(request: web.Request, name: str) -> float | None:
    """Raises `RequestError`."""
    if (value := request.query.get(name)) is None:
        return None
    try:
        return msgspec.json.decode(value, type=float)
    except msgspec.MsgspecError:
        raise RequestError(f"{name} must be a number, not {value[:30]!r}", name) from None


def _check_flux_speed(request: web.Request) -> None:
    """Raises `RequestError`."""
    speed = _number(request, "speed")
    try:
        check_speed(1.0 if speed is None else speed)
    except SpeedError as error:
        raise RequestError(str(error), "speed", error.code) from None

"""Kokoro-FastAPI's `/dev/captioned_speech`."""

from collections.abc import Sequence

import msgspec
from aiohttp import web

from sayline_tts.engine.timing.word_time_estimator import WordTime
from sayline_tts.server.audio.formats import FORMAT_SPECS, Format
from sayline_tts.server.compat.services import Services
from sayline_tts.server.http.requests import OpenAISpeechRequest, read_json


class CaptionRequest(OpenAISpeechRequest, frozen=True):
    """With `stream`, a line of JSON for each piece of audio; else one object."""

    stream: bool = True
    return_timestamps: bool = True


class WordTimestamp(msgspec.Struct, frozen=True):
    """In seconds from the start of the speech."""

    word: str
    start_time: float
    end_time: float


class Caption(msgspec.Struct, frozen=True):
    audio: bytes  # base64
    audio_format: str
    timestamps: list[WordTimestamp] | None


class Handlers:
    def __init__(self, services: Services) -> None:
        self._services = services

    async def captioned_speech(self, request: web.Request) -> web.StreamResponse:
        params = await read_json(request, CaptionRequest)
        known = params.response_format if params.response_format in tuple(Format) else Format.MP3
        audio_format = FORMAT_SPECS[Format(known)].content_type.partition(";")[0]

        def render(data: bytes, words: Sequence[WordTime]) -> bytes:
            times = [WordTimestamp(each.word.text, each.start_ms / 1000, each.end_ms / 1000) for each in words]
            caption = Caption(data, audio_format, times if params.return_timestamps else None)
            return msgspec.json.encode(caption) + b"\n"

        return await self._services.speech.openai_speech(
            request,
            params,
            lambda body: body.messages("application/x-ndjson", render) if params.stream else body.whole_message(render),
        )


def routes(services: Services) -> list[web.RouteDef]:
    return [web.post("/dev/captioned_speech", Handlers(services).captioned_speech)]


def error_body(status: int, message: str, code: str, param: str | None) -> object:
    kind = "invalid_request_error" if status < 500 else "server_error"
    return {"detail": {"error": code, "message": message, "type": kind}}

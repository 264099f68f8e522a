"""ElevenLabs' sockets and HTTP endpoints."""

import re
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import msgspec
from aiohttp import web

from sayline_tts.engine.timing.word_time_estimator import WordTime
from sayline_tts.server.access.auth import KeyPlaces, accepts_keys
from sayline_tts.server.access.middleware import CALLER
from sayline_tts.server.audio.formats import Format, FormatError
from sayline_tts.server.compat.adapter import AudioFormat, clamp_speed, language_code
from sayline_tts.server.compat.character_times import CharacterTimes
from sayline_tts.server.compat.elevenlabs.protocol import (
    STATUS,
    Dialogue,
    Input,
    MultiStream,
    Options,
    SingleStream,
    VoiceSettings,
    keys,
    refuse,
)
from sayline_tts.server.compat.services import LateKey, Services
from sayline_tts.server.http.body import Body
from sayline_tts.server.http.errors import RequestError
from sayline_tts.server.http.requests import SpeechRequest, read_json

FORMATS = {
    "mp3": Format.MP3,
    "pcm": Format.PCM,
    "wav": Format.WAV,
    "ulaw": Format.MULAW,
    "alaw": Format.ALAW,
    "opus": Format.OPUS,
}
DEFAULT_FORMAT = "mp3_44100_128"
_FORMAT = re.compile(r"([a-z0-9]+)_(\d{4,6})(?:_\d{1,4})?")
RespondTo = Callable[[Body, str], Awaitable[web.StreamResponse]]
SPEECH = "/v1/text-to-speech/{voice_id}"
DIALOGUE = "/v1/text-to-dialogue"
KEYS = KeyPlaces(query=("xi-api-key", "authorization", "single_use_token"), first_message=True)
LATE_KEY = LateKey(keys, refuse)


class SpeechBody(msgspec.Struct, frozen=True):
    """A text to speak, or a dialogue's `inputs`. Other fields of the vendor are ignored."""

    text: str | None = None
    inputs: list[Input] = []
    language_code: str | None = None
    seed: int | None = None
    apply_text_normalization: str | None = None
    voice_settings: VoiceSettings | None = None


class Alignment(msgspec.Struct, frozen=True):
    characters: list[str]
    character_start_times_seconds: list[float]
    character_end_times_seconds: list[float]


class TimedAudio(msgspec.Struct, frozen=True):
    audio_base64: bytes
    alignment: Alignment | None
    normalized_alignment: Alignment | None


class Handlers:
    def __init__(self, services: Services) -> None:
        self._services = services

    @accepts_keys(KEYS)
    async def stream_input(self, request: web.Request) -> web.StreamResponse:
        return await self._services.open_late(request, LATE_KEY, lambda: SingleStream(self._options(request)))

    @accepts_keys(KEYS)
    async def multi_stream_input(self, request: web.Request) -> web.StreamResponse:
        return await self._services.open_late(request, LATE_KEY, lambda: MultiStream(self._options(request)))

    @accepts_keys(KEYS)
    async def dialogue(self, request: web.Request) -> web.StreamResponse:
        return await self._services.open_late(request, LATE_KEY, lambda: Dialogue(self._options(request)))

    async def whole(self, request: web.Request) -> web.StreamResponse:
        return await self._speak(request, lambda body, text: body.whole())

    async def stream(self, request: web.Request) -> web.StreamResponse:
        return await self._speak(request, lambda body, text: body.stream())

    async def whole_with_timestamps(self, request: web.Request) -> web.StreamResponse:
        return await self._speak(request, lambda body, text: body.whole_message(TimedAudioWriter(text)), timed=True)

    async def stream_with_timestamps(self, request: web.Request) -> web.StreamResponse:
        return await self._speak(
            request, lambda body, text: body.messages("application/json", TimedAudioWriter(text)), timed=True
        )

    async def voices(self, request: web.Request) -> web.Response:
        voices = [_voice(*each) for each in self._services.voices(request)]
        return web.json_response({"voices": voices, "has_more": False, "total_count": len(voices)})

    async def voice(self, request: web.Request) -> web.Response:
        name = self._services.aliases.resolve(request.match_info["id"], request[CALLER])
        found = next(each for each in self._services.voices(request) if name in each[:2])
        return web.json_response(_voice(*found))

    async def models(self, request: web.Request) -> web.Response:
        name = self._services.state.engine_loop.model.checkpoint.name
        model = {"model_id": name, "name": name, "can_do_text_to_speech": True, "languages": []}
        return web.json_response([model])

    async def _speak(self, request: web.Request, respond: RespondTo, timed: bool = False) -> web.StreamResponse:
        body = await read_json(request, SpeechBody)
        voices = {each.voice_id for each in body.inputs}
        if len(voices) > 1:
            raise RequestError("a dialogue is spoken with one voice; send a request for each voice", "inputs")
        text = " ".join(each.text for each in body.inputs) if body.inputs else body.text
        if text is None:
            raise RequestError("there is no text; send it as `text`, or as `inputs` of a dialogue", "text")
        voice = request.match_info.get("voice_id") or next(iter(voices), None)
        format = parse_format(request.query.get("output_format", DEFAULT_FORMAT))
        speed = body.voice_settings.speed if body.voice_settings else None
        params = SpeechRequest(
            text,
            self._services.aliases.resolve(voice, request[CALLER]),
            format.name,
            format.sample_rate_hz,
            clamp_speed(speed),
            seed=body.seed,
            clean_up=body.apply_text_normalization != "off",
            language=language_code(body.language_code),
        )

        def render_silence(data: bytes) -> web.Response:
            return web.Response(body=TimedAudioWriter("")(data, []), content_type="application/json")

        return await self._services.speak(
            request, params, lambda answer: respond(answer, text), render_silence if timed else None
        )

    def _options(self, request: web.Request) -> Options:
        """Raises `FormatError`, `UnknownVoice`."""
        query = request.query
        seed = query.get("seed", "")
        return Options(
            self._services.aliases.resolve(request.match_info.get("voice_id"), request[CALLER]),
            parse_format(query.get("output_format", DEFAULT_FORMAT)),
            query.get("auto_mode", "").lower() == "true",
            query.get("sync_alignment", "").lower() == "true",
            language_code(query.get("language_code")),
            query.get("apply_text_normalization") != "off",
            int(seed) if seed.isascii() and seed.isdigit() and len(seed) <= 10 else None,
        )


def routes(services: Services) -> list[web.RouteDef]:
    handlers = Handlers(services)
    return [
        web.get(f"{SPEECH}/stream-input", handlers.stream_input),
        web.get(f"{SPEECH}/multi-stream-input", handlers.multi_stream_input),
        web.get(f"{DIALOGUE}/stream-input", handlers.dialogue),
        web.get(f"{DIALOGUE}/multi-stream-input", handlers.dialogue),
        *(
            web.post(f"{prefix}{path}", handler)
            for prefix in (SPEECH, DIALOGUE)
            for path, handler in (
                ("", handlers.whole),
                ("/stream", handlers.stream),
                ("/with-timestamps", handlers.whole_with_timestamps),
                ("/stream/with-timestamps", handlers.stream_with_timestamps),
            )
        ),
        web.get("/v2/voices", handlers.voices),
    ]


def answers(services: Services) -> dict[str, Any]:
    """What clients of this vendor get of paths that others use too."""
    handlers = Handlers(services)
    return {"/v1/models": handlers.models, "/v1/voices": handlers.voices, "/v1/voices/{id}": handlers.voice}


def parse_format(name: str) -> AudioFormat:
    """Raises `FormatError`."""
    match = _FORMAT.fullmatch(name)
    if match is None or match[1] not in FORMATS:
        raise FormatError(f"unknown output_format {name[:30]!r}; use pcm_24000 or {DEFAULT_FORMAT}, for example")
    return AudioFormat(FORMATS[match[1]], int(match[2]))


def error_body(status: int, message: str, code: str, param: str | None) -> object:
    return {"detail": {"status": STATUS.get(code, code), "message": message}}


def _voice(voice_id: str, name: str, cloned: bool) -> dict[str, object]:
    category = "cloned" if cloned else "premade"
    return {"voice_id": voice_id, "name": name, "category": category, "labels": {}}


class TimedAudioWriter:
    """Writes lines of audio and the characters of `text` that begin in it."""

    def __init__(self, text: str) -> None:
        self._times = CharacterTimes()
        self._times.push(text)

    def __call__(self, data: bytes, words: Sequence[WordTime]) -> bytes:
        for time in words:
            self._times.on_word(time.word.start, time.word.end, time.start_ms, time.end_ms)
        times = self._times.take()
        alignment = (
            Alignment(
                [each.char for each in times],
                [each.start_ms / 1000 for each in times],
                [each.end_ms / 1000 for each in times],
            )
            if times
            else None
        )
        return msgspec.json.encode(TimedAudio(data, alignment, alignment)) + b"\n"

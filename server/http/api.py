"""Speech over HTTP: text in, audio out.

`POST /generate` returns a complete file, `/stream` streams from the first frame, `/tts` is compatible with Pocket TTS'
own server and `/v1/audio/speech` with OpenAI's API.
"""

from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial

from aiohttp import web

from sayline_tts.engine.audio.time_stretch import MAX_SPEED, MIN_SPEED
from sayline_tts.engine.errors import Full
from sayline_tts.engine.models.voice import Voice
from sayline_tts.engine.scheduling.utterance import Status
from sayline_tts.server.access import middleware
from sayline_tts.server.access.limits import Caller
from sayline_tts.server.app_state import AppState
from sayline_tts.server.audio.formats import Encoder, FormatError, new_encoder
from sayline_tts.server.http.body import Body
from sayline_tts.server.http.errors import RequestError
from sayline_tts.server.http.requests import (
    OpenAISpeechRequest,
    SpeechRequest,
    check_text,
    read_json,
    read_url_encoded,
)
from sayline_tts.server.http.speech import ShuttingDown, SpeechOptions, SpeechStream
from sayline_tts.server.http.voices import DOWNLOAD_S, RECEIVE_S, VoiceUrlsOff, voice_creation_busy
from sayline_tts.server.logs import in_trace
from sayline_tts.server.synthesis.text_options import TextOptions
from sayline_tts.server.tracing import Trace, log_id
from sayline_tts.server.voices.aliases import VoiceAliases
from sayline_tts.server.voices.upload import read_form
from sayline_tts.server.voices.url import VoiceDownloader

MAX_CLONING = 4  # recordings in memory at the same time
FORMS = ("multipart/form-data", "application/x-www-form-urlencoded")
URL_MARK = "://"
OUTCOMES = {Status.FINISHED: "done", Status.CANCELLED: "cancelled"}
FORM_FIELDS = ("text", "voice_url", "lexicons")

Respond = Callable[[Body], Awaitable[web.StreamResponse]]
FindVoice = Callable[[], Awaitable[Voice]]


def routes(handlers: "SpeechHandlers") -> list[web.RouteDef]:
    """Routes of speech."""
    return [
        web.post("/generate", handlers.generate),
        web.post("/stream", handlers.stream),
        web.post("/tts", handlers.tts),
        web.post("/v1/audio/speech", handlers.openai),
        web.get("/v1/models", handlers.models),
        web.get("/v1/models/{id}", handlers.model),
        web.get("/v1/audio/models", handlers.audio_models),
        web.get("/v1/audio/voices", handlers.voices),
        web.get("/voices", handlers.voices),
    ]


class SpeechHandlers:
    """Of one server: its voice aliases, and the recordings that are being cloned, are counted once.

    `accepting`: whether new requests may start. `downloader`: used if the settings allow it.
    """

    def __init__(
        self, state: AppState, accepting: Callable[[], bool] = lambda: True, downloader: VoiceDownloader | None = None
    ) -> None:
        self._engine_loop, self._settings = state.engine_loop, state.settings
        self._quotas, self._metrics, self._ledger = state.quotas, state.metrics, state.ledger
        self._tracing = state.tracing
        self._lexicons = state.lexicons
        self._voices, self._accepting = state.engine_loop.voices, accepting
        self._downloader = downloader or VoiceDownloader(state.settings.max_upload_bytes, DOWNLOAD_S)
        default_voice = state.engine_loop.model.checkpoint.default_voice
        self.aliases = VoiceAliases(self._voices, default_voice, state.settings.voice_aliases)
        self._cloning = 0

    # Endpoints

    async def generate(self, request: web.Request) -> web.StreamResponse:
        return await self.speak(request, await read_json(request, SpeechRequest), Body.whole)

    async def stream(self, request: web.Request) -> web.StreamResponse:
        return await self.speak(request, await read_json(request, SpeechRequest), Body.stream)

    async def openai(self, request: web.Request) -> web.StreamResponse:
        return await self.openai_speech(request, await read_json(request, OpenAISpeechRequest))

    async def openai_speech(
        self, request: web.Request, params: OpenAISpeechRequest, respond: Respond | None = None
    ) -> web.StreamResponse:
        """`respond` None: as `params` asks. Errors name the fields of `params`."""
        speed = min(max(params.speed or 1.0, MIN_SPEED), MAX_SPEED)
        speech_request = SpeechRequest(
            params.input,
            self._openai_voice(request, params),
            params.response_format or "mp3",
            speed=speed,
            lexicons=params.lexicons,
        )
        respond = respond or (Body.events if params.stream_format == "sse" else Body.stream)
        try:
            return await self.speak(request, speech_request, respond, text_field="input", bare_type=True)
        except FormatError as error:
            raise RequestError(str(error), "response_format", error.code) from None

    async def tts(self, request: web.Request) -> web.StreamResponse:
        """Speech in the voice of a form's `voice_url` or `voice_wav`. A recording is cloned for this request only."""
        form = await self._read_form(request)
        text, voice_url, lexicons = (form.get(field, b"").decode(errors="replace") for field in FORM_FIELDS)
        recording = form.get("voice_wav")
        if recording is not None and voice_url:
            raise RequestError("voice_url and voice_wav are both set; send only one of them", "voice_url")
        check_text(text, self._settings.max_request_chars, "text")
        has_custom_voice = recording is not None or URL_MARK in voice_url
        find_voice = None
        if has_custom_voice:
            self._quotas.check_custom_voice(request[middleware.CALLER])
            find_voice = partial(self._clone, recording, voice_url)
        names = tuple(name.strip() for name in lexicons.split(",")) if lexicons else None
        params = SpeechRequest(text, None if has_custom_voice else voice_url or None, lexicons=names)
        headers = {"Content-Disposition": "attachment; filename=generated_speech.wav"}
        return await self.speak(request, params, lambda body: body.stream(**headers), find_voice=find_voice)

    async def models(self, request: web.Request) -> web.Response:
        return web.json_response({"object": "list", "data": [_model(self._engine_loop.model.checkpoint.name)]})

    async def model(self, request: web.Request) -> web.Response:
        """Any name is that of the one model."""
        return web.json_response(_model(request.match_info["id"]))

    async def audio_models(self, request: web.Request) -> web.Response:
        """The model as Open WebUI asks for it."""
        return web.json_response({"models": [{"id": self._engine_loop.model.checkpoint.name}]})

    async def voices(self, request: web.Request) -> web.Response:
        """All voices that the caller may use; those of the model for one without a key where one is required."""
        caller = request[middleware.CALLER]
        known = [{"id": name, "name": name} for name in caller.limits.allowed_voices(self._voices.built_in())]
        store = None if caller.keyless else self._voices.store
        known += [{"id": voice.id, "name": voice.name} for voice in (store.visible(caller.name) if store else [])]
        return web.json_response({"voices": known, "default": self._default_voice(caller)})

    # Shared by the endpoints

    async def speak(
        self,
        request: web.Request,
        params: SpeechRequest,
        respond: Respond,
        text_field: str = "text",
        bare_type: bool = False,
        find_voice: FindVoice | None = None,
    ) -> web.StreamResponse:
        """`find_voice` replaces the lookup of `params.voice`. `bare_type` drops the content type's parameters."""
        if not self._accepting():
            raise ShuttingDown("the server is shutting down; retry in a moment")
        caller = request[middleware.CALLER]
        check_text(params.text, self._settings.max_request_chars, text_field)
        encoder = new_encoder(
            params.format, params.sample_rate_hz, self._engine_loop.model.sample_rate_hz, speed=params.speed
        )
        with self._quotas.open_context(caller):
            name = None if find_voice else params.voice or self._default_voice(caller)
            voice = await (find_voice() if find_voice else self._voice(caller, name))
            metadata = self._voices.find(name, caller.name) if name else None
            text_options = TextOptions(clean_up=params.clean_up, language=params.language, speed=params.speed)
            if lexicons := await self._lexicons.find(params.lexicons, caller.name):
                voice_name = metadata.name if metadata else name or ""
                text_options = replace(text_options, lexicons=lexicons, voice=voice_name)
            options = SpeechOptions(
                voice,
                params.temperature,
                params.seed,
                params.decode_steps,
                text_options,
                caller,
                metadata.id if metadata else name,
                params.cache,
            )
            with self._begin(request, params, options, encoder) as speech:
                content_type = encoder.content_type.partition(";")[0] if bare_type else encoder.content_type
                return await respond(Body(request, speech, content_type, self._settings.http_stall_s))

    @contextmanager
    def _begin(
        self, request: web.Request, params: SpeechRequest, options: SpeechOptions, encoder: Encoder
    ) -> Iterator[SpeechStream]:
        """Start the speech and record its metrics and its trace. Raises `Full`, `RateLimited`."""
        caller, text = request[middleware.CALLER], params.text
        traceparent = request.headers.get("traceparent")
        trace = self._tracing.start(f"POST {request.path}", traceparent)
        try:
            with in_trace(log_id(trace, traceparent)):
                speech = SpeechStream(self._engine_loop, self._settings, text, options, encoder)
        except Full as error:
            self._metrics.on_reject(error.code, caller.name)
            raise
        with speech:
            self._quotas.charge_chars(caller, len(text))  # last, so that a refused request is not counted
            self._metrics.on_context_start(caller.name)
            self._metrics.on_chars(len(text), caller.name)
            try:
                yield speech
            finally:
                speech.close()
                self._count(speech, caller, trace)
                if trace is not None:
                    attributes = {"sayline.format": params.format, "sayline.key": caller.name}
                    attributes |= {"sayline.voice": options.voice_name} if options.voice_name else {}
                    trace.end(
                        OUTCOMES.get(speech.status, "failed"),
                        speech.usage,
                        attributes,
                        speech.timeline,
                        speech.text_s,
                        speech.first_sent_s,
                    )

    def _count(self, speech: SpeechStream, caller: Caller, trace: Trace | None) -> None:
        metrics = self._metrics
        self._ledger.add(caller.name, speech.usage)
        if speech.first_audio_ms is not None:
            metrics.on_first_audio(speech.first_audio_ms, None if trace is None else trace.trace_id)
        metrics.on_audio_generated(speech.frames * self._engine_loop.model.frame_ms, caller.name)
        if speech.status is Status.CANCELLED:
            metrics.on_audio_cancelled(speech.unread_ms)
        metrics.on_faults(speech.usage.retries, speech.missed_words)
        metrics.on_context_end(OUTCOMES.get(speech.status, "failed"))

    async def _voice(self, caller: Caller, name: str | None) -> Voice:
        name = name or self._default_voice(caller)
        self._quotas.check_voice(caller, name)
        return await self._voices.get(name, caller.name)

    def _default_voice(self, caller: Caller) -> str:
        """The model's default voice, or else the first that the caller may use."""
        return self.aliases.default(caller)

    def _openai_voice(self, request: web.Request, params: OpenAISpeechRequest) -> str:
        name = params.voice_name
        return self.aliases.find(name, request[middleware.CALLER]) or self.aliases.any_other or name

    async def _read_form(self, request: web.Request) -> dict[str, bytes]:
        if request.content_type == FORMS[1]:
            return {name: str(value).encode() for name, value in (await read_url_encoded(request)).items()}
        if request.content_type != FORMS[0]:
            message = "unsupported Content-Type; send multipart/form-data, for example: curl -F text='Hello there.'"
            raise RequestError(message, code="unsupported_media_type")
        max_text_bytes = 4 * self._settings.max_request_chars + 1_024
        return await read_form(request, "voice_wav", self._settings.max_upload_bytes, RECEIVE_S, max_text_bytes)

    async def _clone(self, recording: bytes | None, url: str) -> Voice:
        if recording is None and not self._settings.fetches_voice_urls:
            raise VoiceUrlsOff("downloads of voices are disabled (--voice-urls); send the file itself as voice_wav")
        if self._cloning >= MAX_CLONING:
            raise voice_creation_busy()
        self._cloning += 1
        try:
            data = recording if recording is not None else await self._downloader.download(url)
            name = "voice_wav" if recording is not None else "the file at voice_url"
            return (await self._voices.clone(data, name)).voice
        finally:
            self._cloning -= 1


def _model(name: str) -> dict[str, object]:
    return {"id": name, "object": "model", "created": 0, "owned_by": "sayline"}

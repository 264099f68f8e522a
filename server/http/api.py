"""Speech over HTTP: a text in, a body of audio out. Knows requests and answers; nothing of tokens or frames.

`POST /generate` gives a whole file, `/stream` begins with the first frame, `/tts` is the reference's door and
`/v1/audio/speech` OpenAI's.
"""

from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from functools import partial

from aiohttp import web

from sayline_tts.engine.audio.time_stretch import FASTEST, SLOWEST
from sayline_tts.engine.errors import Full
from sayline_tts.engine.models.voice import Voice
from sayline_tts.engine.scheduling.utterance import Status
from sayline_tts.server.access import middleware
from sayline_tts.server.access.limits import Caller
from sayline_tts.server.app_state import Shared
from sayline_tts.server.audio.formats import Encoder, new_encoder
from sayline_tts.server.http.body import Body
from sayline_tts.server.http.errors import RequestError
from sayline_tts.server.http.requests import Speak, SpeakAsOpenAI, check_text, read_json
from sayline_tts.server.http.speech import ShuttingDown, Speech, SpeechOptions
from sayline_tts.server.http.voice_names import meant_here
from sayline_tts.server.http.voices import FETCH_S, RECEIVE_S, VoiceUrlsOff, too_many_at_once
from sayline_tts.server.synthesis.text_feeder import Manner
from sayline_tts.server.voices.upload import read_form
from sayline_tts.server.voices.url import VoiceUrls

MAX_CLONING = 4  # recordings in memory at a time
FORMS = ("multipart/form-data", "application/x-www-form-urlencoded")
ADDRESS = "://"

Answer = Callable[[Body], Awaitable[web.StreamResponse]]
FindVoice = Callable[[], Awaitable[Voice]]


def routes(
    shared: Shared, accepting: Callable[[], bool] = lambda: True, urls: VoiceUrls | None = None
) -> list[web.RouteDef]:
    """`accepting`: may anything new begin? `urls`: who fetches, where the settings let anybody fetch."""
    doors = SpeechDoors(shared, accepting, urls or VoiceUrls(shared.settings.max_upload_bytes, FETCH_S))
    return [
        web.post("/generate", doors.generate),
        web.post("/stream", doors.stream),
        web.post("/tts", doors.tts),
        web.post("/v1/audio/speech", doors.openai),
        web.get("/v1/models", doors.models),
        web.get("/v1/audio/voices", doors.voices),
        web.get("/voices", doors.voices),
    ]


class SpeechDoors:
    def __init__(self, shared: Shared, accepting: Callable[[], bool], urls: VoiceUrls) -> None:
        self._worker, self._settings = shared.worker, shared.settings
        self._ledger, self._metrics = shared.ledger, shared.metrics
        self._voices, self._accepting, self._urls = shared.worker.voices, accepting, urls
        self._cloning = 0

    # Doors

    async def generate(self, request: web.Request) -> web.StreamResponse:
        return await self._speak(request, await read_json(request, Speak), Body.whole)

    async def stream(self, request: web.Request) -> web.StreamResponse:
        return await self._speak(request, await read_json(request, Speak), Body.stream)

    async def openai(self, request: web.Request) -> web.StreamResponse:
        asked = await read_json(request, SpeakAsOpenAI)
        speed = min(max(asked.speed or 1.0, SLOWEST), FASTEST)
        meant = Speak(asked.input, self._openai_voice(request, asked), asked.response_format or "mp3", speed=speed)
        answer = Body.events if asked.stream_format == "sse" else Body.stream
        return await self._speak(request, meant, answer, text_field="input", bare_type=True)

    async def tts(self, request: web.Request) -> web.StreamResponse:
        """A voice that comes with the request is kept by nobody."""
        form = await self._read_form(request)
        text, voice_url = (form.get(field, b"").decode(errors="replace") for field in ("text", "voice_url"))
        recording = form.get("voice_wav")
        if recording is not None and voice_url:
            raise RequestError("give voice_url or voice_wav, not both", "voice_url")
        check_text(text, self._settings.max_request_chars, "text")
        comes_along = recording is not None or ADDRESS in voice_url
        find_voice = None
        if comes_along:
            self._ledger.check_own_voice(request[middleware.CALLER])
            find_voice = partial(self._clone, recording, voice_url)
        asked = Speak(text, None if comes_along else voice_url or None)
        headers = {"Content-Disposition": "attachment; filename=generated_speech.wav"}
        return await self._speak(request, asked, lambda body: body.stream(**headers), find_voice=find_voice)

    async def models(self, request: web.Request) -> web.Response:
        name = self._worker.model.checkpoint.name
        model = {"id": name, "object": "model", "created": 0, "owned_by": "sayline"}
        return web.json_response({"object": "list", "data": [model]})

    async def voices(self, request: web.Request) -> web.Response:
        """All that this caller may speak with, by the names that he may give."""
        caller = request[middleware.CALLER]
        known = [{"id": name, "name": name} for name in caller.limits.allowed_voices(self._voices.built_in())]
        store = self._voices.store
        known += [{"id": card.id, "name": card.name} for card in (store.visible(caller.name) if store else [])]
        return web.json_response({"voices": known, "default": self._usual_voice(caller)})

    # What they have in common

    async def _speak(
        self,
        request: web.Request,
        asked: Speak,
        answer: Answer,
        text_field: str = "text",
        bare_type: bool = False,
        find_voice: FindVoice | None = None,
    ) -> web.StreamResponse:
        """`find_voice`: another than the one that is named. `bare_type`: without what follows its semicolon."""
        if not self._accepting():
            raise ShuttingDown("the server is shutting down; ask again in a moment")
        caller = request[middleware.CALLER]
        check_text(asked.text, self._settings.max_request_chars, text_field)
        encoder = new_encoder(asked.format, asked.sample_rate_hz, self._worker.model.sample_rate_hz, speed=asked.speed)
        with self._ledger.take_context(caller):
            voice = await (find_voice() if find_voice else self._voice(caller, asked.voice))
            manner = Manner(clean_up=asked.clean_up, language=asked.language, speed=asked.speed)
            options = SpeechOptions(voice, asked.temperature, asked.seed, asked.decode_steps, manner)
            with self._begin(caller, asked.text, options, encoder) as speech:
                content_type = encoder.content_type.partition(";")[0] if bare_type else encoder.content_type
                return await answer(Body(request, speech, content_type, self._settings.http_stall_s))

    @contextmanager
    def _begin(self, caller: Caller, text: str, options: SpeechOptions, encoder: Encoder) -> Iterator[Speech]:
        """Raises `Full`, `Limited`."""
        try:
            speech = Speech(self._worker, self._settings, text, options, encoder)
        except Full as error:
            self._metrics.on_reject(error.code, caller.name)
            raise
        with speech:
            self._ledger.take_chars(caller, len(text))  # last: what is refused is not counted
            self._metrics.on_context(caller.name)
            self._metrics.on_chars(len(text), caller.name)
            try:
                yield speech
            finally:
                speech.close()
                self._count(speech, caller)

    def _count(self, speech: Speech, caller: Caller) -> None:
        metrics = self._metrics
        if speech.first_audio_ms is not None:
            metrics.on_first_audio(speech.first_audio_ms)
        metrics.on_spoken(speech.frames * self._worker.model.frame_ms, caller.name)
        if speech.status is Status.CANCELLED:
            metrics.on_cancelled(speech.untaken_ms)
        metrics.on_over({Status.FINISHED: "done", Status.CANCELLED: "cancelled"}.get(speech.status, "failed"))

    async def _voice(self, caller: Caller, name: str | None) -> Voice:
        name = name or self._usual_voice(caller)
        self._ledger.check_voice(caller, name)
        return await self._voices.get(name, caller.name)

    def _usual_voice(self, caller: Caller) -> str:
        """The model's own choice, or the first that this caller may speak with."""
        usual = self._worker.model.checkpoint.default_voice
        return caller.limits.voice_unasked(usual, self._voices.built_in())

    def _openai_voice(self, request: web.Request, asked: SpeakAsOpenAI) -> str:
        caller, name = request[middleware.CALLER], asked.voice_name
        if self._voices.find(name, caller.name):
            return name
        return meant_here(name, caller.limits.allowed_voices(self._voices.built_in()), self._usual_voice(caller))

    async def _read_form(self, request: web.Request) -> dict[str, bytes]:
        if request.content_type == FORMS[1]:
            try:
                return {name: str(value).encode() for name, value in (await request.post()).items()}
            except (LookupError, ValueError) as error:  # a charset that nobody knows, or is not kept to
                raise RequestError(f"that form cannot be read ({str(error)[:100]}); send it as UTF-8") from None
        if request.content_type != FORMS[0]:
            told = "send a form (multipart/form-data), for example: curl -F text='Hello there.'"
            raise RequestError(told, code="unsupported_media_type")
        most_bytes = 4 * self._settings.max_request_chars + 1_024
        return await read_form(request, "voice_wav", self._settings.max_upload_bytes, RECEIVE_S, most_bytes)

    async def _clone(self, recording: bytes | None, address: str) -> Voice:
        if recording is None and not self._settings.fetches_voice_urls:
            raise VoiceUrlsOff("this server fetches no voices (--voice-urls); send the file itself as voice_wav")
        if self._cloning >= MAX_CLONING:
            raise too_many_at_once()
        self._cloning += 1
        try:
            data = recording if recording is not None else await self._urls.fetch(address)
            name = "voice_wav" if recording is not None else "what lies at voice_url"
            return (await self._voices.clone(data, name)).voice
        finally:
            self._cloning -= 1

"""What the routes of other protocols are made of: the server's state, and the ways to speak."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from aiohttp import web

from sayline_tts.engine.audio.recording import SAMPLE_RATE_HZ
from sayline_tts.engine.errors import InputError, TextError
from sayline_tts.server.access.limits import Caller
from sayline_tts.server.access.middleware import CALLER, CLIENT_ADDRESS
from sayline_tts.server.app_state import AppState
from sayline_tts.server.audio.formats import new_encoder
from sayline_tts.server.compat.adapter import FRAME_SAMPLES, Adapter
from sayline_tts.server.compat.connection import AdapterConnection
from sayline_tts.server.http.api import Respond, SpeechHandlers
from sayline_tts.server.http.requests import SpeechRequest
from sayline_tts.server.logs import in_session
from sayline_tts.server.voices.aliases import VoiceAliases
from sayline_tts.server.websocket.handshake import upgrade
from sayline_tts.server.websocket.session import Session
from sayline_tts.server.websocket.sessions import Sessions
from sayline_tts.server.websocket.socket_connection import Socket


@dataclass(frozen=True)
class Services:
    state: AppState
    sessions: Sessions
    speech: SpeechHandlers

    @property
    def aliases(self) -> VoiceAliases:
        return self.speech.aliases

    async def open_socket(self, request: web.Request, adapter: Adapter, subprotocol: str = "") -> web.StreamResponse:
        """Serve one WebSocket. Returns when it has ended. Raises `Full`, `RateLimited` or `ShuttingDown` before."""
        traceparent = request.headers.get("traceparent")
        session = self.sessions.open(request[CALLER], request[CLIENT_ADDRESS], traceparent)
        try:
            socket, transport = await upgrade(request, [subprotocol] if subprotocol else [])
        except BaseException:
            self.sessions.discard(session)
            raise
        await self.serve(socket, transport, adapter, session)
        return socket

    async def serve(
        self, socket: Socket, transport: asyncio.WriteTransport, adapter: Adapter, session: Session
    ) -> None:
        """Serve a connection to its end, and end its session."""
        settings = self.state.settings
        connection = AdapterConnection(socket, transport, adapter, self.aliases, session, self.sessions, settings)
        try:
            with in_session(session.id):
                await connection.serve()
        finally:
            self.sessions.discard(session)

    async def speak(
        self,
        request: web.Request,
        params: SpeechRequest,
        respond: Respond,
        render_silence: Callable[[bytes], web.Response] | None = None,
    ) -> web.StreamResponse:
        """Speak over HTTP. A text without words is a moment of silence, because clients take no audio for a failure."""
        try:
            return await self.speech.speak(request, params, respond)
        except InputError as error:
            if error.code != TextError.code:
                raise
        encoder = new_encoder(params.format, params.sample_rate_hz, SAMPLE_RATE_HZ)
        silence = encoder.encode(np.zeros(FRAME_SAMPLES, np.float32)) + encoder.end()
        if render_silence is not None:
            return render_silence(silence)
        return web.Response(body=silence, content_type=encoder.content_type.partition(";")[0])

    def voices(self, request: web.Request) -> list[tuple[str, str, bool]]:
        """The id and name of each voice that the caller may use, and whether it was cloned."""
        return self.voices_of(request[CALLER])

    def voices_of(self, caller: Caller) -> list[tuple[str, str, bool]]:
        voices = self.state.engine_loop.voices
        built_in = caller.limits.allowed_voices(voices.built_in())
        cloned = voices.store.visible(caller.name) if voices.store else []
        return [*((name, name, False) for name in built_in), *((each.id, each.name, True) for each in cloned)]


SERVICES = web.AppKey("services", Services)

"""What the routes of other protocols are made of: the server's state, and the ways to speak."""

import asyncio
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass

import numpy as np
from aiohttp import WSMessage, WSMsgType, web

from sayline_tts.engine.audio.recording import SAMPLE_RATE_HZ
from sayline_tts.engine.errors import InputError, TextError
from sayline_tts.server.access.limits import Caller
from sayline_tts.server.access.middleware import ACCESS, CALLER, CLIENT_ADDRESS
from sayline_tts.server.app_state import AppState
from sayline_tts.server.audio.formats import new_encoder
from sayline_tts.server.compat.adapter import FRAME_SAMPLES, Adapter, Output
from sayline_tts.server.compat.connection import AdapterConnection
from sayline_tts.server.http.api import Respond, SpeechHandlers
from sayline_tts.server.http.requests import SpeechRequest
from sayline_tts.server.logs import in_session
from sayline_tts.server.voices.aliases import VoiceAliases
from sayline_tts.server.websocket.handshake import upgrade
from sayline_tts.server.websocket.outbox import Frame
from sayline_tts.server.websocket.protocol import CloseCode, ProtocolError
from sayline_tts.server.websocket.session import Session
from sayline_tts.server.websocket.sessions import Sessions
from sayline_tts.server.websocket.socket_connection import Socket

FIRST_MESSAGE_S = 5.0  # for the key of a client that sends it there
NO_KEY = f"the first message must have the key, within {FIRST_MESSAGE_S:g} s of the handshake"


@dataclass(frozen=True)
class LateKey:
    """How the clients of a socket send their key in the first message.

    `keys`: those of a message; it raises nothing. `refuse`: the answer to a message whose key is not valid.
    """

    keys: Callable[[str | bytes], Sequence[str]]
    refuse: Callable[[ProtocolError], Iterable[Output]]


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

    async def open_late(
        self, request: web.Request, late: LateKey, make_adapter: Callable[[], Adapter]
    ) -> web.StreamResponse:
        """Serve one WebSocket whose key may come in the first message. Until then it has no session.

        `make_adapter` is called when the caller is known. Raises what it and `open_socket` raise, before the handshake
        is answered; later, the client is told.
        """
        if CALLER in request:
            return await self.open_socket(request, make_adapter())
        address = request[CLIENT_ADDRESS]
        with self.sessions.awaiting_key(address):
            socket, transport = await upgrade(request)
            message = await _first_message(socket)
        try:
            if message is None:
                raise ProtocolError("invalid_api_key", NO_KEY)
            caller = request.app[ACCESS].admit(request, late.keys(message.data))
            adapter = make_adapter()
            session = self.sessions.open(caller, address, request.headers.get("traceparent"))
        except (InputError, ProtocolError, web.HTTPException) as error:
            code = "invalid_api_key" if isinstance(error, web.HTTPException) else error.code
            text = (error.text or "").strip() if isinstance(error, web.HTTPException) else str(error)
            await _end(socket, late.refuse(ProtocolError(code, text)))
            return socket
        await self.serve(socket, transport, adapter, session, message)
        return socket

    async def serve(
        self,
        socket: Socket,
        transport: asyncio.WriteTransport,
        adapter: Adapter,
        session: Session,
        received: WSMessage | None = None,
    ) -> None:
        """Serve a connection to its end, and end its session. `received`: a message that has been read already."""
        settings = self.state.settings
        connection = AdapterConnection(socket, transport, adapter, self.aliases, session, self.sessions, settings)
        connection.received = received
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


async def _first_message(socket: Socket) -> WSMessage | None:
    """None if the client closes the connection, or takes too long."""
    try:
        async with asyncio.timeout(FIRST_MESSAGE_S):
            while (message := await socket.receive()).type in (WSMsgType.PING, WSMsgType.PONG):
                if message.type is WSMsgType.PING:
                    await socket.pong(message.data)
    except TimeoutError:
        return None
    return message if message.type in (WSMsgType.TEXT, WSMsgType.BINARY) else None


async def _end(socket: web.WebSocketResponse, outputs: Iterable[Output]) -> None:
    """Send an answer to a connection that has no session, and close it."""
    code = int(CloseCode.NORMAL)
    with suppress(ConnectionError):
        for output in outputs:
            if not isinstance(output, Frame):
                code = int(output.code)
            elif isinstance(output.data, str):
                await socket.send_str(output.data)
            else:
                await socket.send_bytes(output.data)
    await socket.close(code=code)


SERVICES = web.AppKey("services", Services)

"""A connection that speaks another protocol, on the contexts of the native one.

What other protocols lack or expect is made here: nothing is refused for want of room but read later, a text without
words is a moment of silence, because clients take no audio for a failure, and a client that waits too long for its
turn is told.
"""

import asyncio
from collections.abc import Coroutine, Iterable

import msgspec
import numpy as np
from aiohttp import WSMessage, WSMsgType

from sayline_tts.engine.audio.recording import SAMPLE_RATE_HZ, to_pcm
from sayline_tts.engine.errors import InputError
from sayline_tts.server.audio.formats import Encoder, new_encoder
from sayline_tts.server.compat.adapter import (
    FRAME_MS,
    FRAME_SAMPLES,
    MODEL_PCM,
    Action,
    Adapter,
    AudioFormat,
    GreetingAdapter,
    Open,
    PooledAdapter,
)
from sayline_tts.server.settings import Settings
from sayline_tts.server.voices.aliases import VoiceAliases
from sayline_tts.server.websocket import messages
from sayline_tts.server.websocket.messages import (
    Audio,
    Cancelled,
    ContextEvent,
    Done,
    EncodedStart,
    Error,
    Queued,
    ServerEvent,
    Start,
    Text,
    WordEnd,
)
from sayline_tts.server.websocket.outbox import CloseConnection, Frame
from sayline_tts.server.websocket.protocol import ProtocolError
from sayline_tts.server.websocket.session import Session
from sayline_tts.server.websocket.sessions import Sessions
from sayline_tts.server.websocket.socket_connection import Socket, SocketConnection

PING_S = 5.0  # clients give up when they hear nothing for 10 s, and a ping is something
POOLED_PING_S, PONG_S = 1.0, 2.0  # of clients that stop reading to interrupt
PATIENCE_S = 8.0  # in the admission queue: clients wait for 10 s
FULL = "the server is full; retry in a few seconds"
PIECE_CHARS = 4_000  # of text handed to a context at a time
LATE_TEXT = ("unknown_context", "context_ended")  # crossed the context's last event on the way


class AdapterConnection(SocketConnection):
    resumable = False

    def __init__(
        self,
        socket: Socket,
        transport: asyncio.WriteTransport,
        adapter: Adapter,
        aliases: VoiceAliases,
        session: Session,
        sessions: Sessions,
        settings: Settings,
    ) -> None:
        super().__init__(socket, transport, session, sessions, settings)
        self._adapter, self._aliases = adapter, aliases
        self._encoders: dict[str, Encoder] = {}
        self._waiting: dict[str, asyncio.TimerHandle] = {}  # contexts in the admission queue
        self._pooled = adapter if isinstance(adapter, PooledAdapter) else None
        self._reading = True
        self._unanswered_since_s: float | None = None  # the first ping without an answer
        self.received: WSMessage | None = None  # a message that was read before
        self._progress = asyncio.Event()  # an event was sent, so there may be room for more text
        if isinstance(adapter, GreetingAdapter):
            for output in adapter.greet():
                session.outbox.put(output)

    def _background(self) -> Iterable[Coroutine[None, None, None]]:
        return (self._send_pings(),)

    async def _send_pings(self) -> None:
        while True:
            await asyncio.sleep(PING_S if self._pooled is None else POOLED_PING_S)
            if not self._session.open_contexts:
                self._unanswered_since_s = None
            elif self._pooled is not None and self._is_abandoned:
                self._pooled.forget()
                self._session.drop_contexts()
                self._encoders.clear()
            else:
                if self._unanswered_since_s is None:
                    self._unanswered_since_s = asyncio.get_running_loop().time()
                await self._socket.ping()

    @property
    def _is_abandoned(self) -> bool:
        """Whether pings have not been answered although we read."""
        since_s = self._unanswered_since_s
        return self._reading and since_s is not None and asyncio.get_running_loop().time() - since_s > PONG_S

    async def _answer_ping(self, message: WSMessage) -> None:
        if message.type is WSMsgType.PONG:
            self._unanswered_since_s = None
        await super()._answer_ping(message)

    # Receiving

    async def _next_message(self) -> WSMessage:
        message, self.received = self.received, None
        return message or await super()._next_message()

    async def _handle(self, data: str | bytes, first: bool) -> None:
        self._reading = False  # pongs neither, while text waits for room
        try:
            for action in self._adapter.receive(data):
                await self._do(action)
        except ProtocolError as error:
            for output in self._adapter.refuse(error):
                self._session.outbox.put(output)
        self._unanswered_since_s, self._reading = None, True

    async def _do(self, action: Action) -> None:
        match action:
            case Frame() | CloseConnection():
                self._session.outbox.put(action)
            case Open(start=start, format=format):
                self._open(start, format)
            case Text(context_id=context_id, text=text) if len(text) > PIECE_CHARS:
                for at in range(0, len(text), PIECE_CHARS):
                    await self._hand_over(Text(context_id, text[at : at + PIECE_CHARS]))
            case _:
                await self._hand_over(action)

    def _open(self, start: Start, format: AudioFormat) -> None:
        try:
            voice = self._aliases.resolve(start.voice, self._session.caller)
            fields = {**msgspec.structs.asdict(start), "voice": voice, "format": "pcm"}
            if format == MODEL_PCM:
                opened = Start(**fields)
            else:
                encoder = new_encoder(format.name, format.sample_rate_hz, SAMPLE_RATE_HZ)
                self._encoders[start.context_id] = encoder
                opened = EncodedStart(**fields, encoder=encoder)
            self._session.handle(opened)
        except (InputError, ProtocolError) as error:
            refused = ProtocolError(error.code, str(error), start.context_id, True, error.retry_after_ms)
            self._session.reject(refused)

    async def _hand_over(self, message: messages.ContextMessage) -> None:
        """Pass a message to its context, as soon as there is room for it."""
        while not self._session.has_room(message):
            self._progress.clear()
            await self._progress.wait()
        self._pass_on(message)

    def _pass_on(self, message: messages.ContextMessage) -> None:
        try:
            self._session.handle(message)
        except ProtocolError as error:
            if error.code not in LATE_TEXT:  # the client will not send it again
                self._session.fail_context(message.context_id, error.code, error.message, error.retry_after_ms)

    # Sending

    def _frames(self, event: ServerEvent | Frame) -> Iterable[str | bytes]:
        if isinstance(event, Frame):
            return (event.data,)
        if not isinstance(event, ContextEvent):
            return ()
        self._progress.set()
        return [data for each in self._translate(event) for data in self._to_write(each)]

    def _translate(self, event: ContextEvent) -> Iterable[Action]:
        context_id = event.context_id
        assert isinstance(context_id, str)
        if isinstance(event, Queued):
            self._limit_waiting(context_id)
            return ()
        if waiting := self._waiting.pop(context_id, None):
            waiting.cancel()
        if isinstance(event, WordEnd) or (isinstance(event, Error) and not event.final):
            return ()
        outputs: list[Action] = []
        if isinstance(event, Error) and event.code == "bad_text":
            event = Done(context_id, 0, FRAME_MS)
            silence = np.zeros(FRAME_SAMPLES, np.float32)
            encoder = self._encoders.get(context_id)
            outputs += self._adapter.send(
                Audio(context_id, 0, 0, encoder.encode(silence) if encoder else to_pcm(silence))
            )
        if isinstance(event, Done | Cancelled | Error):
            encoder = self._encoders.pop(context_id, None)
            if encoder is not None and isinstance(event, Done) and event.duration_ms and (rest := encoder.end()):
                outputs += self._adapter.send(self._last_audio(event, rest))
        return [*outputs, *self._adapter.send(event)]

    def _to_write(self, action: Action) -> Iterable[str | bytes]:
        match action:
            case Frame(data=data):
                return (data,)
            case CloseConnection():
                self._session.outbox.put(action)  # closes once everything has been sent
            case Open(start=start, format=format):
                self._open(start, format)
            case _:
                self._pass_on(action)
        return ()

    def _last_audio(self, done: Done, rest: bytes) -> Audio:
        """What the encoder held back, which lasts no longer than what was sent."""
        end_samples = round(done.duration_ms * SAMPLE_RATE_HZ / 1000)
        return Audio(str(done.context_id), 0, end_samples - FRAME_SAMPLES, rest)

    def _limit_waiting(self, context_id: str) -> None:
        if context_id not in self._waiting:
            self._waiting[context_id] = asyncio.get_running_loop().call_later(
                PATIENCE_S, self._session.fail_context, context_id, "full", FULL
            )

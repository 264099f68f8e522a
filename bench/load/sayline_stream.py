"""Streams over the native protocol. Audio is counted, not decoded, because the generator competes for the CPU."""

import asyncio
import itertools
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

from sayline import messages, wire
from sayline.errors import ProtocolError, SaylineError
from sayline.handshake import open_socket
from websockets.asyncio.client import ClientConnection
from websockets.exceptions import ConnectionClosed

from sayline_tts.bench.load.stream import Connection, ConnectionLost, Outcome, Stream
from sayline_tts.bench.writer.pieces import Piece, tokens_of

TIMEOUT_S = 10.0
ENCODING = wire.Encoding.MSGPACK


@dataclass(frozen=True, slots=True)
class Server:
    """Address of the server, and the voice to request."""

    url: str
    api_key: str | None = None
    voice: str | None = None

    @asynccontextmanager
    async def connect(self) -> AsyncIterator[Connection]:
        """Open a session. Raises `ConnectionLost`."""
        try:
            socket = await open_socket(self.url, self.api_key, ENCODING, TIMEOUT_S)
        except SaylineError as error:
            raise ConnectionLost(str(error)) from error
        async with socket:
            connection = SaylineConnection(socket, self.voice)
            await connection.receive_ready()
            yield connection


class SaylineConnection:
    def __init__(self, socket: ClientConnection, voice: str | None) -> None:
        self._socket, self._voice = socket, voice
        self._numbers = itertools.count(1)
        self._frame_ms = 80.0

    async def receive_ready(self) -> None:
        ready = await self._receive()
        if not isinstance(ready, messages.Ready):
            raise ConnectionLost(f"the server opened with {ready}")
        self._frame_ms = ready.frame_ms

    async def speak(self, stream: Stream) -> None:
        name = f"bench-{next(self._numbers)}"
        request = stream.request
        # With `wait` false a full server rejects at once, and the rejection is counted.
        start = messages.Start(
            name, self._voice, format="opus", max_lead_ms=request.max_lead_ms, wait=False,
            lookahead_words=request.lookahead_words,
        )  # fmt: skip
        try:
            await self._send(start)
            if request.tokens_a_second is None:
                await self._send(messages.Text(name, request.text))
                stream.on_sent()
                await self._send(messages.End(name))
                await self._listen(stream, name)
            else:
                await self._listen_while_writing(stream, name, tokens_of(request.text, request.tokens_a_second))
        except ConnectionLost as error:
            stream.end(Outcome.FAILED, str(error))

    async def _listen_while_writing(self, stream: Stream, name: str, pieces: Sequence[Piece]) -> None:
        async def write() -> None:
            for piece in pieces:
                await asyncio.sleep(piece.after_ms / 1000)
                await self._send(messages.Text(name, piece.text))
                if stream.sent_ms is None:
                    stream.on_sent()
            await self._send(messages.End(name))

        writer = asyncio.create_task(write())
        try:
            await self._listen(stream, name)
        finally:
            writer.cancel()
            await asyncio.wait([writer])

    async def _listen(self, stream: Stream, name: str) -> None:
        stopping = False
        while stream.outcome is Outcome.OPEN:
            message = await self._receive()
            if getattr(message, "context_id", name) != name:
                continue
            match message:
                case messages.Audio():
                    stream.on_audio(self._frame_ms)
                    if stream.is_satisfied and not stopping:
                        stopping = True
                        await self._send(messages.Cancel(name))
                case messages.Segment():
                    stream.segments_ms.append(message.end_ms - message.start_ms)
                case messages.Done():
                    stream.end(Outcome.SPOKEN)
                case messages.Cancelled():
                    stream.end(Outcome.STOPPED)
                case messages.Error(code="full"):
                    stream.retry_after_ms = message.retry_after_ms or stream.retry_after_ms
                    stream.end(Outcome.REJECTED, message.message)
                case messages.Error(final=True):
                    stream.end(Outcome.FAILED, f"{message.code}: {message.message}")
                case _:  # `queued`, or messages of later protocol versions
                    pass

    async def _send(self, message: messages.ClientMessage) -> None:
        try:
            await self._socket.send(wire.encode(message, ENCODING))
        except ConnectionClosed as error:
            raise ConnectionLost(f"the connection was lost: {error}") from error

    async def _receive(self) -> messages.ServerMessage:
        try:
            return wire.decode(await self._socket.recv(), ENCODING)
        except (ConnectionClosed, ProtocolError) as error:
            raise ConnectionLost(f"the connection was lost: {error}") from error

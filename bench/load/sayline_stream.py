"""Carries streams over the native protocol. It counts audio and leaves it undecoded, because its CPU time competes."""

import itertools
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from sayline import messages, wire
from sayline.errors import ProtocolError, SaylineError
from sayline.handshake import open_socket
from websockets.asyncio.client import ClientConnection
from websockets.exceptions import ConnectionClosed

from sayline_tts.bench.load.stream import Connection, Lost, Outcome, Stream

TIMEOUT_S = 10.0
ENCODING = wire.Encoding.MSGPACK


@dataclass(frozen=True, slots=True)
class Server:
    """Where the server is, and as what it shall speak."""

    url: str
    api_key: str | None = None
    voice: str | None = None

    @asynccontextmanager
    async def connect(self) -> AsyncIterator[Connection]:
        """A session of its own. Raises `Lost`."""
        try:
            socket = await open_socket(self.url, self.api_key, ENCODING, TIMEOUT_S)
        except SaylineError as error:
            raise Lost(str(error)) from error
        async with socket:
            carrier = SaylineConnection(socket, self.voice)
            await carrier.greet()
            yield carrier


class SaylineConnection:
    """Knows the protocol, not what is done with a stream."""

    def __init__(self, socket: ClientConnection, voice: str | None) -> None:
        self._socket, self._voice = socket, voice
        self._numbers = itertools.count(1)
        self._frame_ms = 80.0

    async def greet(self) -> None:
        ready = await self._receive()
        if not isinstance(ready, messages.Ready):
            raise Lost(f"the server opened with {ready}")
        self._frame_ms = ready.frame_ms

    async def speak(self, stream: Stream) -> None:
        name = f"bench-{next(self._numbers)}"
        wish = stream.wish
        # `wait` false: a server that is full says so at once, and the reject is counted.
        start = messages.Start(name, self._voice, format="opus", max_lead_ms=wish.max_lead_ms, wait=False)
        try:
            await self._send(start)
            await self._send(messages.Text(name, wish.text))
            stream.on_asked()
            await self._send(messages.End(name))
            await self._listen(stream, name)
        except Lost as error:
            stream.end(Outcome.FAILED, str(error))

    async def _listen(self, stream: Stream, name: str) -> None:
        stopping = False
        while stream.outcome is Outcome.OPEN:
            message = await self._receive()
            if getattr(message, "context_id", name) != name:
                continue
            match message:
                case messages.Audio():
                    stream.on_audio(self._frame_ms)
                    if stream.wants_no_more and not stopping:
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
                case _:  # a place in a queue, or what a later server may say
                    pass

    async def _send(self, message: messages.ClientMessage) -> None:
        try:
            await self._socket.send(wire.encode(message, ENCODING))
        except ConnectionClosed as error:
            raise Lost(f"the connection was lost: {error}") from error

    async def _receive(self) -> messages.ServerMessage:
        try:
            return wire.decode(await self._socket.recv(), ENCODING)
        except (ConnectionClosed, ProtocolError) as error:
            raise Lost(f"the connection was lost: {error}") from error

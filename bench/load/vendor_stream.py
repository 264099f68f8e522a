"""Streams over other vendors' protocols. As with the native one, audio is counted, not decoded."""

import itertools
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from urllib.parse import urlsplit

import msgspec
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake

from sayline_tts.bench.load.http_stream import BYTES_PER_MS, HttpConnection, post
from sayline_tts.bench.load.sayline_stream import Server
from sayline_tts.bench.load.stream import Connect, Connection, ConnectionLost, Outcome, Stream
from sayline_tts.engine.errors import InputError

PROTOCOLS = ("native", "openai", "elevenlabs")
ANY_VOICE = "default"  # a name that is not known here
FULL = "system_busy"


def connect_by(protocol: str, server: Server) -> Connect:
    """Connections of one of `PROTOCOLS`. Raises `InputError` for a server that the protocol cannot reach."""
    if protocol == "openai":
        return OpenAIServer(server).connect
    return ElevenLabsServer(server).connect if protocol == "elevenlabs" else server.connect


@dataclass(frozen=True, slots=True)
class OpenAIServer:
    """`POST /v1/audio/speech` with a body of PCM. Raises `InputError` for TLS."""

    server: Server

    def __post_init__(self) -> None:
        if urlsplit(self.server.url).scheme not in ("ws", "http"):
            raise InputError(f"--protocol openai needs a URL without TLS, not {self.server.url}; use ws://HOST:PORT")

    @asynccontextmanager
    async def connect(self) -> AsyncIterator[Connection]:
        yield HttpConnection(self._address, self._request)

    @property
    def _address(self) -> str:
        parts = urlsplit(self.server.url)
        return f"{parts.hostname}:{parts.port or 80}"

    def _request(self, text: str) -> bytes:
        voice = self.server.voice or ANY_VOICE
        fields = {"model": "tts-1", "input": text, "voice": "alloy" if voice == ANY_VOICE else voice}
        body = msgspec.json.encode({**fields, "response_format": "pcm"})
        return post(self._address, "/v1/audio/speech", "application/json", body, self.server.api_key)


@dataclass(frozen=True, slots=True)
class ElevenLabsServer:
    """`multi-stream-input`, with a context for each text."""

    server: Server

    @asynccontextmanager
    async def connect(self) -> AsyncIterator[Connection]:
        """Raises `ConnectionLost`."""
        server = self.server
        path = f"/v1/text-to-speech/{server.voice or ANY_VOICE}/multi-stream-input?output_format=pcm_24000"
        url = server.url.rstrip("/").replace("http", "ws", 1) + path
        headers = {"xi-api-key": server.api_key} if server.api_key else {}
        try:
            socket = await connect(url, additional_headers=headers, max_size=None, compression=None)
        except (OSError, InvalidHandshake) as error:
            raise ConnectionLost(f"cannot connect to {url}: {error}") from error
        async with socket:
            yield ElevenLabsConnection(socket)


class _Message(msgspec.Struct, frozen=True, rename="camel"):
    audio: str | None = None
    is_final: bool | None = None
    context_id: str | None = None
    error: str | None = None
    message: str = ""


_decoder = msgspec.json.Decoder(_Message)


class ElevenLabsConnection:
    def __init__(self, socket: ClientConnection) -> None:
        self._socket = socket
        self._numbers = itertools.count(1)

    async def speak(self, stream: Stream) -> None:
        name = f"bench-{next(self._numbers)}"
        try:
            await self._send(context_id=name, text=stream.request.text, flush=True)
            stream.on_sent()
            await self._send(context_id=name, close_context=True)
            await self._listen(stream, name)
        except ConnectionClosed as error:
            stream.end(Outcome.FAILED, f"the connection was lost: {error}")

    async def _listen(self, stream: Stream, name: str) -> None:
        stopping = False
        while stream.outcome is Outcome.OPEN:
            message = _decoder.decode(await self._socket.recv())
            if message.context_id != name:
                continue
            if message.error:
                stream.end(Outcome.REJECTED if message.error == FULL else Outcome.FAILED, message.message)
            elif message.is_final:
                stream.end(Outcome.STOPPED if stopping else Outcome.SPOKEN)
            elif message.audio:
                stream.on_audio(_decoded_bytes(message.audio) / BYTES_PER_MS)
                if stream.is_satisfied and not stopping:
                    stopping = True  # a second close interrupts
                    await self._send(context_id=name, close_context=True)

    async def _send(self, **fields: object) -> None:
        await self._socket.send(msgspec.json.encode(fields).decode())


def _decoded_bytes(base64: str) -> int:
    return len(base64) * 3 // 4 - base64.count("=", -2)

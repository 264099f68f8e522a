"""The TCP port of Wyoming. It asks for no key, so its limits are those of clients without one."""

import asyncio
import logging
import socket

from aiohttp import WSMessage, WSMsgType

from sayline_tts.engine.errors import InputError
from sayline_tts.engine.text.normalization.normalizer import language_code
from sayline_tts.server.access.auth import anonymous_limits
from sayline_tts.server.access.client_address import ClientAddress, parse_address
from sayline_tts.server.access.limits import ANONYMOUS, Caller
from sayline_tts.server.compat.services import Services
from sayline_tts.server.compat.wyoming.protocol import (
    MAX_HEADER_BYTES,
    WyomingAdapter,
    parse_header,
    whole_event,
    write_error,
)
from sayline_tts.server.websocket.handshake import limit_buffers
from sayline_tts.server.websocket.protocol import ProtocolError

log = logging.getLogger(__name__)

MAX_CONNECTIONS = 256
EVENT_S = 20.0  # for the rest of an event, once it has begun
PROJECT = {"name": "Sayline", "url": ""}


class WyomingServer:
    def __init__(self, services: Services) -> None:
        self._services = services
        self._server: asyncio.Server | None = None
        self._connections: set[asyncio.Task[None]] = set()

    async def start(self, listener: socket.socket) -> None:
        self._server = await asyncio.start_server(self._serve, sock=listener, limit=MAX_HEADER_BYTES)

    async def stop(self) -> None:
        """Stop listening, and end the connections that are left."""
        assert self._server is not None
        self._server.close()
        for task in self._connections:
            task.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)

    def info(self) -> dict[str, object]:
        model = self._services.state.engine_loop.model.checkpoint
        language = language_code(model.name.partition("_")[0])
        languages = [language if len(language) == 2 else "en"]
        voices = self._services.voices_of(Caller(ANONYMOUS, anonymous_limits(self._services.state.settings), ANONYMOUS))
        shared = {"attribution": PROJECT, "installed": True, "version": None}
        listed = [
            {"name": voice_id, "description": name, "languages": languages, "speakers": None, **shared}
            for voice_id, name, _ in voices
        ]
        program = {"name": "sayline", "description": "Sayline", "voices": listed, **shared}
        empty: dict[str, object] = {name: [] for name in ("asr", "handle", "intent", "wake", "mic", "snd")}
        return {"tts": [{**program, "supports_synthesize_streaming": True}], **empty}

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._connections.add(task)
        try:
            if len(self._connections) <= MAX_CONNECTIONS:
                await self._converse(EventSocket(reader, writer))
        except asyncio.CancelledError:
            pass  # by `stop`
        finally:
            self._connections.discard(task)
            writer.transport.abort()

    async def _converse(self, events: "EventSocket") -> None:
        services = self._services
        address = events.address
        limits = anonymous_limits(services.state.settings)
        caller = Caller(ANONYMOUS, limits, f"{ANONYMOUS} {address.network}", keyless=True)
        try:
            session = services.sessions.open(caller, address)
        except InputError as error:
            await events.refuse(error.code, str(error))
            return
        await services.serve(events, events.transport, WyomingAdapter(self.info), session)


class EventSocket:
    """A TCP connection with the methods of a WebSocket, whose messages are Wyoming's events."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer
        self._header: asyncio.Task[bytes] | None = None
        self.transport = writer.transport
        limit_buffers(self.transport)

    @property
    def address(self) -> ClientAddress:
        peer = self._writer.get_extra_info("peername")
        return ClientAddress(parse_address(peer[0] if peer else ""), "", "")

    async def receive(self, timeout: float | None = None) -> WSMessage:  # noqa: ASYNC109
        """The next event, or `CLOSE` at the end of the stream. Raises `TimeoutError` if none has begun."""
        self._header = self._header or asyncio.create_task(self._reader.readline(), name="read event")
        await asyncio.wait([self._header], timeout=timeout)
        if not self._header.done():
            raise TimeoutError
        header, self._header = self._header, None
        try:
            async with asyncio.timeout(EVENT_S):
                data = await self._rest(header.result())
        except (ProtocolError, ValueError) as error:  # ValueError: the line is too long
            await self.refuse("bad_message", str(error))
        except (TimeoutError, ConnectionError, EOFError):
            pass
        else:
            if data:
                return WSMessage(WSMsgType.TEXT, data, None)
        return WSMessage(WSMsgType.CLOSE, None, None)

    async def _rest(self, line: bytes) -> bytes:
        """Read the rest of an event; nothing at the end of the stream."""
        if not line:
            return b""
        header = parse_header(line)
        data = await self._reader.readexactly(header.data_length or 0)
        await self._reader.readexactly(header.payload_length or 0)
        return whole_event(header, data)

    async def send_bytes(self, data: bytes) -> None:
        self._writer.write(data)
        await self._writer.drain()

    async def send_str(self, data: str) -> None:
        raise AssertionError("events are bytes")

    async def ping(self, message: bytes = b"") -> None:
        """TCP tells when the peer is gone."""

    async def pong(self, message: bytes = b"") -> None:
        """Wyoming's `ping` is an event like others."""

    async def refuse(self, code: str, message: str) -> None:
        data = write_error(code, message).data
        assert isinstance(data, bytes)
        await self.send_bytes(data)

    async def close(self, *, code: int = 1000, message: bytes = b"") -> bool:
        if self._header is not None:
            self._header.cancel()
        self._writer.close()
        await self._writer.wait_closed()
        return True

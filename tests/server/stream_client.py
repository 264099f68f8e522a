"""A WebSocket client written from the protocol's specification alone, independent of the SDK."""

import base64
import json
import socket
import ssl
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import msgpack
import numpy as np
from aiohttp import web
from websockets.asyncio.client import ClientConnection, connect
from websockets.typing import Subprotocol

from sayline_tts.server.network.acceptor import Acceptor, ConnectionLimits

FINAL_TYPES = ("done", "cancelled")
Message = dict[str, Any]
LIMITS = ConnectionLimits(total=1_000_000, per_address=1_000_000)


class StreamClient:
    def __init__(self, socket: ClientConnection) -> None:
        self.socket = socket
        self.received: list[Message] = []

    @property
    def json(self) -> bool:
        return self.socket.subprotocol == "sayline.v1.json"

    async def send(self, type: str, context_id: str = "a", **fields: object) -> None:
        await self.send_raw(type, context_id=context_id, **fields)

    async def send_raw(self, type: str, **fields: object) -> None:
        message = {"type": type, **fields}
        await self.socket.send(json.dumps(message) if self.json else msgpack.packb(message))

    async def speak(self, text: str, context_id: str = "a", **fields: object) -> None:
        """Start, feed and end a context."""
        await self.send("start", context_id, **fields)
        await self.send("text", context_id, text=text)
        await self.send("end", context_id)

    async def receive(self) -> Message:
        message = decode(await self.socket.recv())
        self.received.append(message)
        return message

    async def receive_until(self, *types: str, context_id: str | None = None) -> Message:
        while True:
            message = await self.receive()
            if message["type"] in types and context_id in (None, message.get("context_id")):
                return message

    async def receive_until_final(self, *context_ids: str) -> None:
        """Receive until each of these contexts has had its final event."""
        pending = set(context_ids or ("a",))
        while pending:
            message = await self.receive()
            if is_final(message):
                pending.discard(message["context_id"])

    def messages_of(self, type: str, context_id: str = "a") -> list[Message]:
        return [
            message for message in self.received if message["type"] == type and message.get("context_id") == context_id
        ]

    def pcm(self, context_id: str = "a") -> np.ndarray:
        return np.frombuffer(b"".join(audio["data"] for audio in self.messages_of("audio", context_id)), "<i2")


def is_final(message: Message) -> bool:
    return message["type"] in FINAL_TYPES or (message["type"] == "error" and message["final"])


def decode(frame: str | bytes) -> Message:
    if isinstance(frame, str):
        return dict(json.loads(frame))
    if frame[0] != 1:
        return dict(msgpack.unpackb(frame))
    kind, length, reserved, seq, start_sample = struct.unpack(">BBHIQ", frame[:16])
    assert (kind, reserved) == (1, 0)
    context_id, data = frame[16 : 16 + length].decode(), frame[16 + length :]
    return {"type": "audio", "context_id": context_id, "seq": seq, "start_sample": start_sample, "data": data}


def load_golden(path: Any) -> list[Message]:
    entries: list[Message] = json.loads(path.read_text())
    for entry in entries:
        entry["msgpack"] = base64.b64decode(entry["msgpack_base64"])
        if entry["binary"]:
            entry["json"] = base64.b64decode(entry["json"])
            entry["message"]["data"] = base64.b64decode(entry["message"]["data"])
    return entries


@asynccontextmanager
async def serving(app: web.Application) -> AsyncIterator[str]:
    """Serve the app on a free port; yields its `host:port`."""
    async with accepting(app) as server:
        yield server.address


@dataclass
class Server:
    address: str
    acceptor: Acceptor
    runner: web.AppRunner
    closed: bool = False

    async def close(self) -> None:
        if not self.closed:
            self.closed = True
            await self.acceptor.stop()
            await self.runner.cleanup()


@asynccontextmanager
async def accepting(
    app: web.Application, limits: ConnectionLimits = LIMITS, ssl_context: ssl.SSLContext | None = None
) -> AsyncIterator[Server]:
    """Serve the app as the server process does."""
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=5)
    await runner.setup()
    assert runner.server is not None
    listener = socket.create_server(("127.0.0.1", 0))
    acceptor = Acceptor(runner.server, listener, limits, ssl_context)
    acceptor.start()
    server = Server(f"127.0.0.1:{listener.getsockname()[1]}", acceptor, runner)
    try:
        yield server
    finally:
        await server.close()


@asynccontextmanager
async def connected_client(
    address: str, encoding: str = "json", expect_ready: bool = True, **more: Any
) -> AsyncIterator[StreamClient]:
    subprotocols = [Subprotocol(f"sayline.v1.{encoding}")]
    async with connect(f"ws://{address}/v1/stream", subprotocols=subprotocols, max_size=None, **more) as socket:
        other = StreamClient(socket)
        if expect_ready:
            assert (await other.receive())["type"] == "ready"
            other.received.clear()
        yield other

"""The other end of a session, written from the contract alone: raw websockets, its own reading of the wire."""

import base64
import json
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import msgpack
import numpy as np
from aiohttp import web
from aiohttp.test_utils import TestServer
from websockets.asyncio.client import ClientConnection, connect
from websockets.typing import Subprotocol

LAST = ("done", "cancelled")
Message = dict[str, Any]


class Peer:
    def __init__(self, socket: ClientConnection) -> None:
        self.socket = socket
        self.heard: list[Message] = []

    @property
    def json(self) -> bool:
        return self.socket.subprotocol == "sayline.v1.json"

    async def send(self, type: str, context_id: str = "a", **fields: object) -> None:
        await self.send_bare(type, context_id=context_id, **fields)

    async def send_bare(self, type: str, **fields: object) -> None:
        message = {"type": type, **fields}
        await self.socket.send(json.dumps(message) if self.json else msgpack.packb(message))

    async def say(self, text: str, context_id: str = "a", **fields: object) -> None:
        """A whole context at once."""
        await self.send("start", context_id, **fields)
        await self.send("text", context_id, text=text)
        await self.send("end", context_id)

    async def hear(self) -> Message:
        message = decode(await self.socket.recv())
        self.heard.append(message)
        return message

    async def hear_until(self, *types: str, context_id: str | None = None) -> Message:
        while True:
            message = await self.hear()
            if message["type"] in types and context_id in (None, message.get("context_id")):
                return message

    async def hear_all(self, *context_ids: str) -> None:
        """Until each of these contexts is over."""
        left = set(context_ids or ("a",))
        while left:
            message = await self.hear()
            if is_last(message):
                left.discard(message["context_id"])

    def of(self, type: str, context_id: str = "a") -> list[Message]:
        return [
            message for message in self.heard if message["type"] == type and message.get("context_id") == context_id
        ]

    def pcm(self, context_id: str = "a") -> np.ndarray:
        return np.frombuffer(b"".join(audio["data"] for audio in self.of("audio", context_id)), "<i2")


def is_last(message: Message) -> bool:
    return message["type"] in LAST or (message["type"] == "error" and message["final"])


def decode(frame: str | bytes) -> Message:
    if isinstance(frame, str):
        return dict(json.loads(frame))
    if frame[0] != 1:
        return dict(msgpack.unpackb(frame))
    kind, length, reserved, seq, start_sample = struct.unpack(">BBHIQ", frame[:16])
    assert (kind, reserved) == (1, 0)
    context_id, data = frame[16 : 16 + length].decode(), frame[16 + length :]
    return {"type": "audio", "context_id": context_id, "seq": seq, "start_sample": start_sample, "data": data}


def golden(path: Any) -> list[Message]:
    entries: list[Message] = json.loads(path.read_text())
    for entry in entries:
        entry["msgpack"] = base64.b64decode(entry["msgpack_base64"])
        if entry["binary"]:
            entry["json"] = base64.b64decode(entry["json"])
            entry["message"]["data"] = base64.b64decode(entry["message"]["data"])
    return entries


@asynccontextmanager
async def running(app: web.Application) -> AsyncIterator[str]:
    """Serves the app on a free port; gives its `host:port`."""
    server = TestServer(app)
    await server.start_server()
    try:
        yield f"{server.host}:{server.port}"
    finally:
        await server.close()


@asynccontextmanager
async def peer(address: str, encoding: str = "json", greet: bool = True, **more: Any) -> AsyncIterator[Peer]:
    subprotocols = [Subprotocol(f"sayline.v1.{encoding}")]
    async with connect(f"ws://{address}/v1/stream", subprotocols=subprotocols, max_size=None, **more) as socket:
        other = Peer(socket)
        if greet:
            assert (await other.hear())["type"] == "ready"
            other.heard.clear()
        yield other

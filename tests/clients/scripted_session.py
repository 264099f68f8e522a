"""A session of the scripted server."""

import asyncio
import json
import struct
from contextlib import suppress

import msgpack
from websockets.asyncio.server import ServerConnection
from websockets.exceptions import ConnectionClosed

from tests.clients.speaker import Message, Speaker


class Session:
    """What goes on when the socket is lost."""

    def __init__(self, number: int, socket: ServerConnection) -> None:
        self.id, self.token = f"session-{number}", f"token-{number}"
        self.socket: ServerConnection | None = socket
        self.speakers: dict[str, Speaker] = {}
        self._waiting: asyncio.Queue[Message] = asyncio.Queue()

    def say(self, message: Message) -> None:
        if self.socket is not None:
            self._waiting.put_nowait(message)

    async def hang_up(self) -> None:
        """When all that was said is on its way."""
        while self.socket is not None and not self._waiting.empty():  # noqa: ASYNC110
            await asyncio.sleep(0)
        self.cut()

    def cut(self) -> None:
        """What was said and is not on its way yet never comes."""
        if self.socket is not None:
            self.socket.transport.abort()
            self.lose()

    def lose(self) -> None:
        self.socket = None
        self._waiting = asyncio.Queue()

    async def send_all(self, socket: ServerConnection) -> None:
        with suppress(ConnectionClosed):
            while self.socket is socket:
                await send(socket, await self._waiting.get())


async def send(socket: ServerConnection, message: Message) -> None:
    if message["type"] == "damage":
        await socket.send(b"\xc1")
    elif socket.subprotocol == "sayline.v1.msgpack":
        await socket.send(msgpack.packb(message))
    elif message["type"] == "audio":
        name = message["context_id"].encode()
        header = bytes([1, len(name), 0, 0]) + struct.pack(">IQ", message["seq"], message["start_sample"])
        await socket.send(header + name + message["data"])
    else:
        await socket.send(json.dumps(message))

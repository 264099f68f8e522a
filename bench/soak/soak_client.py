"""One connection of a soak test: sends messages as maps, receives answers, and checks the end of each context."""

import json
import random
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import msgpack
from sayline.wire import AUDIO_HEADER, Encoding
from websockets.asyncio.client import ClientConnection, connect
from websockets.typing import Subprotocol

Message = dict[str, Any]
LAST = ("done", "cancelled")
OPEN_S = 20.0
CLOSE_S = 1.0  # a client with much unread data never gets to the close frame


@dataclass
class SoakTally:
    """Counts over all clients. A fault is a violation of the protocol by the server."""

    runs_by_scenario: Counter[str] = field(default_factory=Counter)
    ends: Counter[str] = field(default_factory=Counter)  # of contexts, by their final event
    faults: Counter[str] = field(default_factory=Counter)


class SoakClient:
    def __init__(self, socket: ClientConnection, encoding: Encoding, tally: SoakTally) -> None:
        self._socket, self._encoding, self._tally = socket, encoding, tally
        self.ready: Message = {}
        self.open: dict[str, int] = {}  # contexts without a final event, and the highest seq received of each

    @classmethod
    @asynccontextmanager
    async def connected(cls, address: str, rng: random.Random, tally: SoakTally) -> AsyncIterator["SoakClient"]:
        encoding = rng.choice(list(Encoding))
        async with connect(
            f"ws://{address}/v1/stream",
            subprotocols=[Subprotocol(encoding)],
            compression=None,
            open_timeout=OPEN_S,
            close_timeout=CLOSE_S,
            ping_interval=None,
            max_size=None,
            proxy=None,
        ) as socket:
            client = cls(socket, encoding, tally)
            client.ready = await client.receive()
            yield client

    async def start(self, context_id: str, **fields: object) -> None:
        self.open[context_id] = -1
        await self.send_message("start", context_id, **fields)

    async def send_message(self, type: str, context_id: str, **fields: object) -> None:
        await self.send({"type": type, "context_id": context_id, **fields})

    async def send(self, message: Message) -> None:
        json_wanted = self._encoding is Encoding.JSON
        await self.send_raw(json.dumps(message) if json_wanted else msgpack.packb(message))

    async def send_raw(self, data: str | bytes) -> None:
        await self._socket.send(data)

    async def receive(self) -> Message:
        message = self._decode(await self._socket.recv())
        if (context_id := message.get("context_id")) is not None:
            self._check(message, context_id)
        return message

    async def receive_all(self) -> None:
        """Receive until every context is over."""
        while self.open:
            await self.receive()

    def vanish(self) -> None:
        """Abort the connection without a close frame."""
        self._socket.transport.abort()

    def _check(self, message: Message, context_id: str) -> None:
        kind = message["type"]
        final = kind in LAST or (kind == "error" and message["final"])
        if message.get("code") == "internal":
            self._tally.faults["internal error"] += 1
        if context_id in self.open:
            self.open[context_id] = max(self.open[context_id], message.get("seq", -1))
        elif kind != "error":
            self._tally.faults[f"{kind} for a context that is over or unknown"] += 1
        if final and self.open.pop(context_id, None) is not None:
            self._tally.ends[str(message.get("code", kind))] += 1

    def _decode(self, frame: str | bytes) -> Message:
        if isinstance(frame, str):
            message: Message = json.loads(frame)
        elif self._encoding is Encoding.MSGPACK:
            message = msgpack.unpackb(frame)
        else:
            _, name_bytes, _, seq, _ = AUDIO_HEADER.unpack_from(frame)
            name = frame[AUDIO_HEADER.size :][:name_bytes].decode()
            message = {"type": "audio", "context_id": name, "seq": seq}
        return message

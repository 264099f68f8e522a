"""One connection of a soak: says messages as maps, hears answers, and sees that the server keeps its word.

Knows the protocol's promises about the end of a context, not why somebody calls.
"""

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
CLOSE_S = 1.0  # who leaves with much of it unread never gets to the server's answer


@dataclass
class Tally:
    """What all callers saw. A fault is a promise that the server broke."""

    visits: Counter[str] = field(default_factory=Counter)
    ends: Counter[str] = field(default_factory=Counter)  # of contexts
    faults: Counter[str] = field(default_factory=Counter)


class Caller:
    def __init__(self, socket: ClientConnection, encoding: Encoding, tally: Tally) -> None:
        self._socket, self._encoding, self._tally = socket, encoding, tally
        self.ready: Message = {}
        self.open: dict[str, int] = {}  # contexts without a last event, and the highest seq that came of each

    @classmethod
    @asynccontextmanager
    async def called(cls, address: str, rng: random.Random, tally: Tally) -> AsyncIterator["Caller"]:
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
            caller = cls(socket, encoding, tally)
            caller.ready = await caller.hear()
            yield caller

    async def start(self, context_id: str, **fields: object) -> None:
        self.open[context_id] = -1
        await self.say("start", context_id, **fields)

    async def say(self, type: str, context_id: str, **fields: object) -> None:
        await self.send({"type": type, "context_id": context_id, **fields})

    async def send(self, message: Message) -> None:
        json_wanted = self._encoding is Encoding.JSON
        await self.send_raw(json.dumps(message) if json_wanted else msgpack.packb(message))

    async def send_raw(self, data: str | bytes) -> None:
        await self._socket.send(data)

    async def hear(self) -> Message:
        message = self._decode(await self._socket.recv())
        if (context_id := message.get("context_id")) is not None:
            self._check(message, context_id)
        return message

    async def hear_out(self) -> None:
        """Until every context is over."""
        while self.open:
            await self.hear()

    def vanish(self) -> None:
        """Without a word, in the middle of whatever it is."""
        self._socket.transport.abort()

    def _check(self, message: Message, context_id: str) -> None:
        kind = message["type"]
        final = kind in LAST or (kind == "error" and message["final"])
        if message.get("code") == "internal":
            self._tally.faults["internal error"] += 1
        if context_id in self.open:
            self.open[context_id] = max(self.open[context_id], message.get("seq", -1))
        elif kind != "error":
            self._tally.faults[f"{kind} of a context that is over or never was"] += 1
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

"""What waits to be sent on one connection, in order. Knows no socket.

Audio in it is bounded by each context's lead. All else is an answer to something that came in, so `room` holds back
the reading while too many answers wait.
"""

import asyncio
from collections import deque
from dataclasses import dataclass
from typing import Protocol

from server.protocol import Audio, Segment, ServerEvent

MAX_ANSWERS = 64


class Owner(Protocol):
    def on_sent(self, event: Audio) -> None:
        """The audio has left for the socket."""


@dataclass(frozen=True, slots=True)
class Goodbye:
    """Close the connection when all before it has been sent."""

    code: int
    reason: str


@dataclass(frozen=True, slots=True)
class Outgoing:
    event: ServerEvent | Goodbye
    owner: Owner | None


class Outbox:
    def __init__(self) -> None:
        self._waiting: deque[Outgoing] = deque()
        self._answers = 0
        self._changed = asyncio.Event()
        self._has_room = asyncio.Event()
        self._has_room.set()

    def put(self, event: ServerEvent | Goodbye, owner: Owner | None = None) -> None:
        self._waiting.append(Outgoing(event, owner))
        self._answers += not isinstance(event, Audio)
        self._tell()

    def silence(self, owner: Owner) -> None:
        """Take back what `owner` was going to say: its audio, and the segments that belong to that."""
        speech = (Audio, Segment)
        kept = [out for out in self._waiting if out.owner is not owner or not isinstance(out.event, speech)]
        self._waiting = deque(kept)
        self._answers = sum(not isinstance(out.event, Audio) for out in kept)
        self._tell()

    async def get(self) -> Outgoing:
        """The next to send. Cancelling it loses nothing."""
        while not self._waiting:
            self._changed.clear()
            await self._changed.wait()
        out = self._waiting.popleft()
        self._answers -= not isinstance(out.event, Audio)
        self._tell()
        return out

    async def room(self) -> None:
        """Until few enough answers wait."""
        await self._has_room.wait()

    def _tell(self) -> None:
        if self._waiting:
            self._changed.set()
        if self._answers < MAX_ANSWERS:
            self._has_room.set()
        else:
            self._has_room.clear()

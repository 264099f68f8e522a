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
    def on_sent(self) -> None:
        """One of its frames has left for the socket."""


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
        self._answers = 0  # how many of them are not audio
        self._filled = asyncio.Event()
        self._has_room = asyncio.Event()
        self._has_room.set()

    def put(self, event: ServerEvent | Goodbye, owner: Owner | None = None) -> None:
        self._waiting.append(Outgoing(event, owner))
        self._count(not isinstance(event, Audio))

    def silence(self, owner: Owner) -> int:
        """Take back what `owner` was going to say: its audio, and the segments that belong to it. How many frames?"""
        said = [out for out in self._waiting if _is_speech(out, owner)]
        frames = sum(isinstance(out.event, Audio) for out in said)
        if said:
            self._waiting = deque(out for out in self._waiting if not _is_speech(out, owner))
            self._count(frames - len(said))
        return frames

    async def get(self) -> Outgoing:
        """The next to send. Cancelling it loses nothing."""
        while not self._waiting:
            self._filled.clear()
            await self._filled.wait()
        out = self._waiting.popleft()
        self._count(-(not isinstance(out.event, Audio)))
        return out

    async def room(self) -> None:
        """Until few enough answers wait."""
        await self._has_room.wait()

    def _count(self, answers: int) -> None:
        self._answers += answers
        if self._waiting:
            self._filled.set()
        if self._answers < MAX_ANSWERS:
            self._has_room.set()
        else:
            self._has_room.clear()


def _is_speech(out: Outgoing, owner: Owner) -> bool:
    return out.owner is owner and isinstance(out.event, Audio | Segment)

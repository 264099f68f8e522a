"""What waits to be sent in one session, in order. Knows no socket.

Speech in it is bounded by each context's lead. All else is an answer to something that came in, so `room` holds back
the reading while too many answers wait.
"""

import asyncio
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol

from sayline_tts.server.websocket.protocol import Audio, Segment, ServerEvent, Word, WordEnd

MAX_ANSWERS = 64
Speech = Audio | Segment | Word | WordEnd


class Owner(Protocol):
    """A context, as those see it who carry what it says."""

    def on_sent(self, event: ServerEvent) -> float:
        """An event of its own leaves for the socket. How far, in ms, has its audio been sent with that?"""


@dataclass(frozen=True, slots=True)
class Goodbye:
    """Close the connection when all before it has been sent."""

    code: int
    reason: str


@dataclass(frozen=True, slots=True)
class Moved:
    """The connection goes on with another session: look there for what to send."""


@dataclass(frozen=True, slots=True)
class Outgoing:
    event: ServerEvent | Goodbye | Moved
    owner: Owner | None


class Outbox:
    def __init__(self) -> None:
        self._waiting: deque[Outgoing] = deque()
        self._answers = 0  # how many of them are not speech
        self._filled = asyncio.Event()
        self._has_room = asyncio.Event()
        self._has_room.set()

    def put(self, event: ServerEvent | Goodbye | Moved, owner: Owner | None = None) -> None:
        self._waiting.append(Outgoing(event, owner))
        self._count(_is_answer(event))

    def put_back(self, sent: Iterable[Outgoing]) -> None:
        """Before all others: these have to be sent again."""
        for out in reversed(list(sent)):
            self._waiting.appendleft(out)
            self._count(_is_answer(out.event))

    def take_back(self, owner: Owner) -> list[Outgoing]:
        """What `owner` was going to say: it is not sent."""
        mine = [out for out in self._waiting if out.owner is owner]
        if mine:
            self._waiting = deque(out for out in self._waiting if out.owner is not owner)
            self._count(-sum(_is_answer(out.event) for out in mine))
        return mine

    def take_all(self) -> list[Outgoing]:
        """What waits, at once."""
        everything = list(self._waiting)
        self._waiting.clear()
        self._count(-self._answers)
        return everything

    async def get(self) -> Outgoing:
        """The next to send. Cancelling it loses nothing."""
        while not self._waiting:
            self._filled.clear()
            await self._filled.wait()
        out = self._waiting.popleft()
        self._count(-_is_answer(out.event))
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


def _is_answer(event: ServerEvent | Goodbye | Moved) -> bool:
    return not isinstance(event, Speech)

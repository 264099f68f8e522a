"""The send queue of one session, in order.

The lead of each context bounds its speech. Everything else is a reply to a client message, so `wait_for_room` stops the
reader while too many replies are queued.
"""

import asyncio
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol

from sayline_tts.server.websocket.messages import Audio, Segment, ServerEvent, Word, WordEnd

MAX_REPLIES = 64
SpeechEvent = Audio | Segment | Word | WordEnd


class EventSource(Protocol):
    """Where an event comes from: the event stream of its context."""

    def on_sent(self, out: "Outgoing") -> None:
        """Record that the event goes to the socket now."""


@dataclass(frozen=True, slots=True)
class CloseConnection:
    """Close the connection after everything before it has been sent."""

    code: int
    reason: str


@dataclass(frozen=True, slots=True)
class Frame:
    """A message of another protocol, written as it is."""

    data: str | bytes


@dataclass(frozen=True, slots=True)
class SwitchSession:
    """The connection now serves another session: continue with that session's outbox."""


Item = ServerEvent | Frame | CloseConnection | SwitchSession


@dataclass(frozen=True, slots=True)
class Outgoing:
    event: Item
    source: EventSource | None


class Outbox:
    def __init__(self) -> None:
        self._queue: deque[Outgoing] = deque()
        self._replies = 0  # queued events that are not speech
        self._not_empty = asyncio.Event()
        self._has_room = asyncio.Event()
        self._has_room.set()

    def put(self, event: Item, source: EventSource | None = None) -> None:
        self._queue.append(Outgoing(event, source))
        self._count(_is_reply(event))

    def requeue(self, sent: Iterable[Outgoing]) -> None:
        """Put events that have to be sent again in front of all others."""
        for out in reversed(list(sent)):
            self._queue.appendleft(out)
            self._count(_is_reply(out.event))

    def withdraw(self, source: EventSource) -> list[Outgoing]:
        """Remove and return everything queued from `source`."""
        withdrawn = [out for out in self._queue if out.source is source]
        if withdrawn:
            self._queue = deque(out for out in self._queue if out.source is not source)
            self._count(-sum(_is_reply(out.event) for out in withdrawn))
        return withdrawn

    def drain(self) -> list[Outgoing]:
        """Remove and return everything."""
        queued = list(self._queue)
        self._queue.clear()
        self._count(-self._replies)
        return queued

    async def get(self) -> Outgoing:
        """Remove and return the next event. Cancelling this loses nothing."""
        while not self._queue:
            self._not_empty.clear()
            await self._not_empty.wait()
        out = self._queue.popleft()
        self._count(-_is_reply(out.event))
        return out

    @property
    def has_room(self) -> bool:
        """Whether fewer than `MAX_REPLIES` replies are queued."""
        return self._has_room.is_set()

    async def wait_for_room(self) -> None:
        """Wait until fewer than `MAX_REPLIES` replies are queued."""
        await self._has_room.wait()

    def _count(self, replies: int) -> None:
        self._replies += replies
        if self._queue:
            self._not_empty.set()
        if self._replies < MAX_REPLIES:
            self._has_room.set()
        else:
            self._has_room.clear()


def _is_reply(event: Item) -> bool:
    return not isinstance(event, SpeechEvent)

"""A fake audio device that reads samples when the test says so."""

import asyncio
from collections.abc import Callable

from sayline.errors import NoSound
from sayline.inbox import Event


class FakeDevice:
    def __init__(self, latency_ms: float = 20.0) -> None:
        self.latency_ms = latency_ms
        self.sample_rate_hz = 0  # 0 while it is closed
        self.openings = 0
        self.heard = bytearray()
        self.broken = False
        self.unplug: Callable[[], None] = lambda: None
        self._read: Callable[[int], bytes]

    def open(self, sample_rate_hz: int, read: Callable[[int], bytes], on_gone: Callable[[], None]) -> None:
        if self.broken:
            raise NoSound("it is broken")
        self._read, self.unplug, self.sample_rate_hz = read, on_gone, sample_rate_hz
        self.openings += 1

    def close(self) -> None:
        self.sample_rate_hz = 0

    def play(self, ms: float) -> bytes:
        """The next so much, as it would do in a thread of its own."""
        pcm = self._read(round(ms * self.sample_rate_hz / 1000))
        self.heard += pcm
        return pcm


class Watch:
    """What a player tells of its context."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self._told = asyncio.Event()

    def __call__(self, event: Event) -> None:
        self.events.append(event)
        self._told.set()

    async def until(self, kind: type[Event], times: int = 1) -> None:
        async with asyncio.timeout(10):
            while sum(isinstance(event, kind) for event in self.events) < times:
                self._told.clear()
                await self._told.wait()

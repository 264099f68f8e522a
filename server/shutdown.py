"""How the server is to end: politely, at once, or because its engine is broken. Knows nothing of what ends."""

import asyncio
from collections.abc import Awaitable
from typing import Any


class Ending:
    def __init__(self) -> None:
        self.broken = False
        self._asked, self._hurried = asyncio.Event(), asyncio.Event()

    def ask(self) -> None:
        """Let who speaks go on for a while. Asked twice, it hurries."""
        if self._asked.is_set():
            self.hurry()
        self._asked.set()

    def hurry(self) -> None:
        """Wait for nobody."""
        self._asked.set()
        self._hurried.set()

    def break_down(self, why: str) -> None:
        """Nothing is spoken any more."""
        self.broken = True
        self.hurry()

    @property
    def hurried(self) -> bool:
        return self._hurried.is_set()

    async def until_asked(self) -> None:
        await self._asked.wait()

    async def unless_hurried(self, *waits: Awaitable[None], within_s: float) -> None:
        """Until all of these have come to their end, or there is no time any more."""
        hurried = asyncio.ensure_future(self._hurried.wait())
        all_done = asyncio.gather(*waits)
        both: list[asyncio.Future[Any]] = [hurried, all_done]
        try:
            await asyncio.wait(both, timeout=within_s, return_when=asyncio.FIRST_COMPLETED)
        finally:
            hurried.cancel()
            all_done.cancel()
            await asyncio.gather(hurried, all_done, return_exceptions=True)

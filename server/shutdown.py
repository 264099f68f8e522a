"""The state of a shutdown: requested, forced, or caused by a failed engine."""

import asyncio
from collections.abc import Awaitable
from typing import Any


class Shutdown:
    def __init__(self) -> None:
        self.failed = False
        self._requested, self._forced = asyncio.Event(), asyncio.Event()

    def request(self) -> None:
        """Start a graceful shutdown: open contexts may finish. A second request forces it."""
        if self._requested.is_set():
            self.force()
        self._requested.set()

    def force(self) -> None:
        """Shut down without waiting for open contexts."""
        self._requested.set()
        self._forced.set()

    def fail(self, reason: str) -> None:
        """Shut down because the engine has failed."""
        self.failed = True
        self.force()

    @property
    def forced(self) -> bool:
        return self._forced.is_set()

    async def wait_requested(self) -> None:
        await self._requested.wait()

    async def wait_unless_forced(self, *waits: Awaitable[None], timeout_s: float) -> None:
        """Wait until all of `waits` are done, the shutdown is forced, or `timeout_s` has passed."""
        forced = asyncio.ensure_future(self._forced.wait())
        all_done = asyncio.gather(*waits)
        both: list[asyncio.Future[Any]] = [forced, all_done]
        try:
            await asyncio.wait(both, timeout=timeout_s, return_when=asyncio.FIRST_COMPLETED)
        finally:
            forced.cancel()
            all_done.cancel()
            await asyncio.gather(forced, all_done, return_exceptions=True)

"""Notices that the engine is stuck or has failed, and says so once. Knows nothing of what is done about it.

The server then ends, with an error, for its supervisor to start it anew. It does not build another engine in its place:
a thread that hangs in native code cannot be ended from Python, and would hold the old one's memory and cores.
"""

import asyncio
import logging
from collections.abc import Callable

from sayline_tts.server.synthesis.engine_loop import Worker

log = logging.getLogger(__name__)

LOOKS = 4  # within the time that a step may take


class Watchdog:
    def __init__(self, worker: Worker, limit_s: float, on_stuck: Callable[[str], None]) -> None:
        self._worker, self._limit_s, self._on_stuck = worker, limit_s, on_stuck
        self._loop = asyncio.get_running_loop()
        self._next: asyncio.TimerHandle | None = None
        worker.on_failed = lambda: self._bark("the engine has failed")
        self._sleep()

    def stop(self) -> None:
        self._worker.on_failed = lambda: None
        if self._next is not None:
            self._next.cancel()
            self._next = None

    def _sleep(self) -> None:
        self._next = self._loop.call_later(self._limit_s / LOOKS, self._look)

    def _look(self) -> None:
        stuck_s = self._worker.stuck_s
        if stuck_s > self._limit_s:
            self._bark(f"a step or a frame has taken {stuck_s:.0f} s")
        else:
            self._sleep()

    def _bark(self, why: str) -> None:
        log.critical("%s; the server ends", why)
        self.stop()
        self._on_stuck(why)

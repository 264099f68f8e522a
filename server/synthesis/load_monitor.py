"""Look after the engine while it runs.

Several times a second it tells the engine how late the event loop is and what the delivery of frames costs, so that the
capacity is what the whole server can do; replaces codec processes that have died; and takes back slots that lie idle.
"""

import asyncio
import time
from collections.abc import Callable

from sayline_tts.engine.engine import Engine

TICK_S = 0.25
LATENESS_SMOOTHING = 0.4  # one late tick may be a collection of garbage or another program


class LoadMonitor:
    """Ticks on the event loop from `start` to `stop`."""

    def __init__(self, engine: Engine, reclaim_slots: Callable[[], None]) -> None:
        self._engine, self._reclaim_slots = engine, reclaim_slots
        self.frames = 0  # delivered since the last tick; the engine loop counts them
        self.lateness_s = 0.0  # of the event loop, smoothed
        self._cpu_s = 0.0  # of the event loop's thread at the last tick
        self._timer: asyncio.TimerHandle | None = None

    def start(self) -> None:
        self._cpu_s = time.thread_time()
        self._schedule()

    def stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _schedule(self) -> None:
        loop = asyncio.get_running_loop()
        due_s = loop.time() + TICK_S
        self._timer = loop.call_at(due_s, lambda: self._tick(loop.time() - due_s))

    def _tick(self, late_s: float) -> None:
        self.lateness_s += LATENESS_SMOOTHING * (late_s - self.lateness_s)
        cpu_s = time.thread_time()
        self._engine.observe_load(1000 * self.lateness_s, self.frames, 1000 * (cpu_s - self._cpu_s))
        self.frames, self._cpu_s = 0, cpu_s
        self._engine.check_codec()
        self._reclaim_slots()
        self._schedule()

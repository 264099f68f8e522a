"""Look after the engine while it runs: replace codec processes that have died, take back slots that lie idle."""

import asyncio
from collections.abc import Callable

from sayline_tts.engine.engine import Engine

TICK_S = 0.25


class LoadMonitor:
    """Ticks on the event loop from `start` to `stop`."""

    def __init__(self, engine: Engine, reclaim_slots: Callable[[], None]) -> None:
        self._engine, self._reclaim_slots = engine, reclaim_slots
        self._timer: asyncio.TimerHandle | None = None

    def start(self) -> None:
        self._timer = asyncio.get_running_loop().call_later(TICK_S, self._tick)

    def stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _tick(self) -> None:
        self._engine.check_codec()
        self._reclaim_slots()
        self.start()

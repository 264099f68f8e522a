"""Detect an engine that is stuck or has failed, and report it once.

The server then exits with an error, so that its supervisor restarts it. It does not build a second engine instead:
Python cannot end a thread that hangs in native code, and that thread would keep the old engine's memory and cores.
"""

import asyncio
import logging
from collections.abc import Callable

from sayline_tts.server.synthesis.speech_engine import SpeechEngine

log = logging.getLogger(__name__)

CHECKS_PER_LIMIT = 4


class Watchdog:
    def __init__(self, engine_loop: SpeechEngine, limit_s: float, on_stuck: Callable[[str], None]) -> None:
        self._engine_loop, self._limit_s, self._on_stuck = engine_loop, limit_s, on_stuck
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None
        engine_loop.on_failed = lambda: self._report("the engine has failed")
        self._schedule_check()

    def stop(self) -> None:
        self._engine_loop.on_failed = lambda: None
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _schedule_check(self) -> None:
        self._timer = self._loop.call_later(self._limit_s / CHECKS_PER_LIMIT, self._check)

    def _check(self) -> None:
        stuck_s = self._engine_loop.stuck_s
        if stuck_s > self._limit_s:
            self._report(f"a step or a frame has taken {stuck_s:.0f} s")
        else:
            self._schedule_check()

    def _report(self, reason: str) -> None:
        log.critical("%s; the server exits so that its supervisor can restart it", reason)
        self.stop()
        self._on_stuck(reason)

"""Decide when an unfinished sentence is spoken without waiting for its end."""

import asyncio
from collections.abc import Callable

FLUSH_LEAD_MS = 500.0  # with a longer lead, the listener can wait for the writer to finish the sentence


class PauseTimer:
    """Fires once the writer has paused or been slow, and the listener is about to run out of audio."""

    def __init__(self, pause_ms: float, max_delay_ms: float, on_pause: Callable[[], None]) -> None:
        self._pause_s, self._max_delay_s = min(pause_ms, max_delay_ms) / 1000, max_delay_ms / 1000
        self._on_pause = on_pause
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None

    @property
    def due_s(self) -> float | None:
        """Loop time at which it fires."""
        return None if self._timer is None else self._timer.when()

    def restart(self, last_push_s: float, pending_since_s: float, lead_ms: float, clause_ready: bool) -> None:
        """Plan anew, given the loop times of the last text and of the first unspoken text.

        `clause_ready`: speech has begun and a clause is complete. It is spoken as soon as the lead runs out, even if
        the writer has not paused, because waiting longer would be an audible gap.
        """
        self.cancel()
        due_s = min(last_push_s + self._pause_s, pending_since_s + self._max_delay_s)
        dry_s = self._loop.time() + (lead_ms - FLUSH_LEAD_MS) / 1000
        self._timer = self._loop.call_at(dry_s if clause_ready else max(due_s, dry_s), self._fire)

    def cancel(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _fire(self) -> None:
        self._timer = None
        self._on_pause()

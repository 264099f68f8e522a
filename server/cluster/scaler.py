"""How many engines a fleet should have, from what they report."""

import math
from collections.abc import Sequence

from sayline_tts.server.cluster.report import EngineReport, State

BUSY_SHARE = 0.7  # of the capacity: the rest is for what comes while another engine starts
IDLE_S = 300.0  # that one engine less must have been enough before it is given back
NEXT_IDLE_S = 60.0  # before the next one


class Scaler:
    """More engines at once, fewer one by one. Raises `ValueError` for bounds that contradict each other."""

    def __init__(self, minimum: int, maximum: int) -> None:
        if not 1 <= minimum <= maximum:
            raise ValueError(f"{minimum} to {maximum} engines")
        self.minimum, self.maximum = minimum, maximum
        self._idle_until_s: float | None = None  # when one may go; None: all are needed

    def wanted(self, engines: Sequence[EngineReport], now_s: float) -> int:
        """Of `engines`, which do not drain, some may still start: they count as if they spoke already."""
        needed, count = self._needed(engines), len(engines)
        if needed >= count:
            self._idle_until_s = None
            return needed
        if self._idle_until_s is None:
            self._idle_until_s = now_s + IDLE_S
        if now_s < self._idle_until_s:
            return count
        self._idle_until_s = now_s + NEXT_IDLE_S
        return count - 1

    def _needed(self, engines: Sequence[EngineReport]) -> int:
        ready = [each for each in engines if each.state is State.READY]
        capacity = sum(each.capacity for each in ready)
        if not capacity:
            return max(self.minimum, min(len(engines), self.maximum))
        load = sum(each.speaking + each.waiting for each in ready)
        return max(self.minimum, min(math.ceil(load * len(ready) / (BUSY_SHARE * capacity)), self.maximum))

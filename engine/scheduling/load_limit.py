"""How many utterances may be load while the machine keeps up: what was measured, instead of what was predicted.

The cost model predicts the capacity from FlowLM and the codec, as they were at the first start. Other programs, a
processor that slows down or a flood of work on the event loop are in none of its curves. So as soon as listeners'
buffers shrink, or the server is late in other ways, the limit falls below the present load, again and again until they
do not. Then it recovers slowly.
"""

import math
from enum import Enum

CUT = 0.9  # of the load under which listeners' buffers shrank
CUT_S = 1.0  # from one cut to the next: the last one needs time to have an effect
RECOVERY, RECOVERY_S = 1.02, 0.5  # growth of the limit while the machine keeps up, and how often


class Supply(Enum):
    """How well the listeners are supplied with audio."""

    GOOD = "good"
    TIGHT = "tight"  # enough for those who are there, not for more
    BEHIND = "behind"  # their buffers shrink


class LoadLimit:
    """`ceiling`: utterances that may be load; infinite until the machine has been behind, and once it has recovered."""

    def __init__(self) -> None:
        self.ceiling = math.inf
        self._recover_at_s = self._cut_at_s = -math.inf

    def observe(self, now_s: float, load: int, supply: Supply, predicted: int) -> None:
        """`supply`: of the listeners, under this `load`. `predicted`: capacity, beyond which no limit is needed."""
        if supply is Supply.BEHIND:
            if now_s >= self._cut_at_s:
                self._cut_at_s = now_s + CUT_S
                self.ceiling = max(1.0, CUT * min(load, self.ceiling))
        elif supply is Supply.GOOD and now_s >= self._recover_at_s:
            self._recover_at_s = now_s + RECOVERY_S
            self.ceiling = self.ceiling * RECOVERY + 0.1
            if self.ceiling >= predicted:
                self.ceiling = math.inf

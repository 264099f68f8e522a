"""What steps cost on this machine, by their size, and so how many listeners it can keep supplied.

Three things cost: FlowLM's step by rows, its prefill by positions, the codec's groups by rows. `sayline_tts.engine.execution.profiling`
measures them; each real step corrects them.
"""

import math
from bisect import bisect_left, bisect_right
from dataclasses import dataclass, field

SHARE = 0.9  # of a frame's time that a step of all listeners may take; the rest is for sockets and for surprises
MEMORY = 0.05  # weight of a new measurement against all before it
OUTLIER = 4.0  # so many times dearer or cheaper than expected: something else was going on
GROUP = 10  # frames that the codec decodes in one pass, at most
SEGMENT_POSITIONS, SEGMENT_FRAMES = 40, 60  # of a usual segment: its text, its speech


@dataclass
class Curve:
    """Milliseconds by size: straight lines through what was measured, times a correction that follows real steps."""

    points: list[tuple[int, float]]  # by size; at least one
    ratio: float = 1.0

    def __call__(self, size: int) -> float:
        return self.ratio * self.measured(size)

    def measured(self, size: int) -> float:
        """Without the correction."""
        if size <= self.points[0][0] or len(self.points) == 1:
            return self.points[0][1]
        right = min(bisect_left(self.points, (size, -math.inf)), len(self.points) - 1)
        (from_size, from_ms), (to_size, to_ms) = self.points[right - 1], self.points[right]
        slope = (to_ms - from_ms) / (to_size - from_size)
        if size > to_size:  # what was not measured is not cheaper than what was
            first, first_ms = self.points[0]
            slope = max(slope, (to_ms - first_ms) / (to_size - first))
        return from_ms + slope * (size - from_size) if size <= to_size else to_ms + slope * (size - to_size)

    def saw(self, size: int, cost_ms: float) -> None:
        """A real step of this size cost so much."""
        seen = cost_ms / self.measured(size)
        self.ratio += MEMORY * (min(max(seen, self.ratio / OUTLIER), self.ratio * OUTLIER) - self.ratio)


def _usual(base_ms: float, each_ms: float) -> Curve:
    return Curve([(1, base_ms + each_ms), (100, base_ms + 100 * each_ms)])


@dataclass
class Costs:
    """Begins with a guess at a small machine, so that prefill has a bound before anything was measured."""

    flow: Curve = field(default_factory=lambda: _usual(8.0, 0.4))  # CPU ms by rows
    join: Curve = field(default_factory=lambda: _usual(8.0, 0.4))  # CPU ms by positions
    group: Curve = field(default_factory=lambda: _usual(2.0, 2.0))  # CPU ms by rows
    step: Curve | None = None  # ms by rows, both networks and all cores at work; None: was not measured

    def prefill_ms(self, positions: int, going: int) -> float:
        """What these cost in a pass of FlowLM with so many rows that go on: such a pass reads all weights anyway."""
        return self.join(positions) - (self.flow(1) if going else 0.0)

    def take(self, measured: "Costs") -> None:
        """From now on these."""
        self.flow, self.join, self.group, self.step = measured.flow, measured.join, measured.group, measured.step

    def step_ms(self, rows: int) -> float:
        """A step of all listeners, some of whom begin a segment in it.

        Its parts may have become dearer than they were; cheaper they are only while few are served.
        """
        assert self.step is not None, "was not measured"
        flow_ms, groups_ms = self.flow.measured(rows), self._groups_ms(rows)
        join_ms = self.join.measured(SEGMENT_POSITIONS) - self.flow.measured(1)  # as `prefill_ms`, not corrected
        joins_ms = max(join_ms, 0.0) * rows / SEGMENT_FRAMES
        now_ms = sum(
            cost_ms * max(1.0, curve.ratio)
            for cost_ms, curve in ((flow_ms, self.flow), (groups_ms, self.group), (joins_ms, self.join))
        )
        return self.step.measured(rows) * now_ms / (flow_ms + groups_ms)

    def capacity(self, frame_ms: float, most: int) -> int:
        """Most rows whose step leaves something of a frame's time, at least one; `most` where nothing was measured."""
        if self.step is None:
            return most
        return max(1, bisect_right(range(1, most + 1), SHARE * frame_ms, key=self.step_ms))

    def _groups_ms(self, rows: int) -> float:
        """As large as were measured."""
        largest = self.group.points[-1][0]
        return self.group.measured(min(rows, largest)) * max(1.0, rows / largest)

"""Cost model of a step by its size, and the capacity that follows from it.

Three things cost time: FlowLM's decode step by rows, its prefill by positions, and the codec's decode groups by rows.
`sayline_tts.engine.execution.profiling` measures them at start; each real step corrects them.
"""

import math
from bisect import bisect_left, bisect_right
from dataclasses import dataclass, field

FRAME_TIME_SHARE = 0.9  # of a frame's duration, for a step of all rows; the rest is for sockets and jitter
DELIVERY_SMOOTHING = 0.2
SMOOTHING = 0.05  # weight of a new observation in the running correction
OUTLIER_FACTOR = 4.0  # an observation that is further off than this is clipped: something else took the time
CURVES = ("flow_lm", "prefill", "codec", "step")  # of a cost model
MAX_DECODE_GROUP = 10  # frames that the codec decodes in one pass
SEGMENT_POSITIONS, SEGMENT_FRAMES = 40, 60  # of a typical segment: its prefill, its speech


@dataclass
class CostCurve:
    """Milliseconds by size: piecewise linear through profiled points, times a correction that follows real steps."""

    points: list[tuple[int, float]]  # (size, ms) by size; at least one
    correction: float = 1.0

    def __call__(self, size: int) -> float:
        """Return the corrected cost in ms."""
        return self.correction * self.profiled_ms(size)

    def profiled_ms(self, size: int) -> float:
        """Return the cost in ms without the correction."""
        if size <= self.points[0][0] or len(self.points) == 1:
            return self.points[0][1]
        right = min(bisect_left(self.points, (size, -math.inf)), len(self.points) - 1)
        (from_size, from_ms), (to_size, to_ms) = self.points[right - 1], self.points[right]
        slope = (to_ms - from_ms) / (to_size - from_size)
        if size > to_size:  # extrapolate with the mean slope at least: the last two points may be noise
            first, first_ms = self.points[0]
            slope = max(slope, (to_ms - first_ms) / (to_size - first))
        return from_ms + slope * (size - from_size) if size <= to_size else to_ms + slope * (size - to_size)

    def observe(self, size: int, cost_ms: float) -> None:
        """Correct the curve by a real step of `size` that took `cost_ms`."""
        observed = cost_ms / self.profiled_ms(size)
        low, high = self.correction / OUTLIER_FACTOR, self.correction * OUTLIER_FACTOR
        self.correction += SMOOTHING * (min(max(observed, low), high) - self.correction)


def _line(base_ms: float, each_ms: float) -> CostCurve:
    return CostCurve([(1, base_ms + each_ms), (100, base_ms + 100 * each_ms)])


@dataclass
class CostModel:
    """All cost curves of one model on one machine.

    The defaults are a guess at a small machine, so that prefill has a bound before anything was profiled.
    """

    flow_lm: CostCurve = field(default_factory=lambda: _line(8.0, 0.4))  # CPU ms by decode rows
    prefill: CostCurve = field(default_factory=lambda: _line(8.0, 0.4))  # CPU ms by positions
    codec: CostCurve = field(default_factory=lambda: _line(2.0, 2.0))  # CPU ms by rows of a decode group
    step: CostCurve | None = None  # wall ms by rows, both networks on all cores; None: not profiled
    delivery_ms: float = 0.0  # CPU ms of everything else for each frame: sockets, messages, bookkeeping
    cpus: float = math.inf  # processors that this process may use, on average

    def prefill_ms(self, positions: int, decode_rows: int) -> float:
        """Return what `positions` of prefill add to a pass of FlowLM with `decode_rows`.

        A pass with decode rows reads all weights anyway, so prefill in it costs that much less.
        """
        return self.prefill(positions) - (self.flow_lm(1) if decode_rows else 0.0)

    def update(self, profiled: "CostModel") -> None:
        """Replace all curves by those of `profiled`."""
        self.flow_lm, self.prefill, self.codec, self.step = (
            profiled.flow_lm, profiled.prefill, profiled.codec, profiled.step
        )  # fmt: skip

    def step_ms(self, rows: int) -> float:
        """Return the wall time of a step of `rows`, of which a typical share begins a segment.

        Corrections above 1 count. Those below do not, because steps are cheap as long as few utterances are served.
        """
        assert self.step is not None, "not profiled"
        flow_lm_ms, codec_ms = self.flow_lm.profiled_ms(rows), self._groups_ms(rows)
        one_prefill_ms = self.prefill.profiled_ms(SEGMENT_POSITIONS) - self.flow_lm.profiled_ms(1)
        prefill_ms = max(one_prefill_ms, 0.0) * rows / SEGMENT_FRAMES
        now_ms = sum(
            cost_ms * max(1.0, curve.correction)
            for cost_ms, curve in ((flow_lm_ms, self.flow_lm), (codec_ms, self.codec), (prefill_ms, self.prefill))
        )
        return self.step.profiled_ms(rows) * now_ms / (flow_lm_ms + codec_ms)

    def cpu_ms(self, rows: int) -> float:
        """Return the CPU time of a step of `rows` and of the delivery of its frames, on all processors together."""
        parts = ((self.flow_lm.profiled_ms(rows), self.flow_lm), (self._groups_ms(rows), self.codec))
        return sum(cost_ms * max(1.0, curve.correction) for cost_ms, curve in parts) + rows * self.delivery_ms

    def observe_delivery(self, frames: int, cpu_ms: float) -> None:
        """Take note of the CPU time that delivering so many frames took."""
        self.delivery_ms += DELIVERY_SMOOTHING * (cpu_ms / frames - self.delivery_ms)

    def capacity(self, frame_ms: float, most: int) -> int:
        """Return the most rows, 1 to `most`, for which there is time; `most` if not profiled.

        Their step takes `FRAME_TIME_SHARE` of a frame, and their CPU time that share of all processors.
        """
        if self.step is None:
            return most
        budget_ms = FRAME_TIME_SHARE * frame_ms
        by_time = bisect_right(range(1, most + 1), budget_ms, key=self.step_ms)
        by_cpu = bisect_right(range(1, most + 1), budget_ms * self.cpus, key=self.cpu_ms)
        return max(1, min(by_time, by_cpu))

    def _groups_ms(self, rows: int) -> float:
        """Return the cost of decoding `rows` in groups of the largest profiled size."""
        largest = self.codec.points[-1][0]
        return self.codec.profiled_ms(min(rows, largest)) * max(1.0, rows / largest)

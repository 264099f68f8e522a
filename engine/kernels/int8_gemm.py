"""Products with weights in int8: what comes in is quantized, multiplied and scaled back in one loop, compiled here.

What one output sees has 256 levels of its own, from its least number to its greatest, so a row never depends on its
company and silence is not measured by speech. A tile (`sayline_tts.engine.kernels.int8_microkernel`) is a few rows times one panel of weights;
meanwhile the next panel is fetched, since those of FlowLM come from memory and not from a cache.
"""

from typing import Any, NamedTuple

import numpy as np
from numba import boolean, float32, int8, int64, void

from sayline_tts.engine.kernels import simd
from sayline_tts.engine.kernels.int8_microkernel import ACTIVE_ISA, INPUTS_PER_DOT, int8_microkernel
from sayline_tts.engine.kernels.ir_builder import CACHE_LINE_BYTES
from sayline_tts.engine.kernels.jit import HALF, ONE, ZERO, compiled, copy_elu, exp, fast_max, fast_min, unowned_view
from sayline_tts.engine.kernels.simd import LANES

QUANT_MAX, QUANT_MAX_U32 = np.float32(255.0), np.uint32(255)
MIN_SCALE = np.float32(1e-12)
NONE, GELU, SILU = 0, 1, 2
ACTIVATIONS = {None: NONE, "gelu": GELU, "silu": SILU}
# 2 * sqrt(2 / pi) and the cubic's factor: Hendrycks and Gimpel 2016, arXiv:1606.08415.
GELU_SLOPE, GELU_CUBIC = np.float32(1.5957691216057308), np.float32(0.044715)

L1_FLOATS = 8192  # numbers that stay in the nearest cache while they are worked on
M_BLOCK = 72  # outputs whose levels are multiplied at once: a panel is read as often as there are so many

_batch, _tails, _rows = float32[:, :, ::1], float32[:, :, :], float32[:, ::1]


class PackedWeights(NamedTuple):
    """Of one product, packed."""

    panels: np.ndarray  # int8 [panels, inputs / 4 * width * 4]
    epilogue: np.ndarray  # float32 [panels, 3, width]: of each output its scale, the sum of its weights, its bias


MR, NR, NARROW_MR = ACTIVE_ISA.mr, ACTIVE_ISA.nr, ACTIVE_ISA.narrow.mr
_all_rows, _four_rows, _two_rows, _one_row = (int8_microkernel(ACTIVE_ISA, rows) for rows in (MR, 4, 2, 1))
_all_of_many = int8_microkernel(ACTIVE_ISA, MR, prefetched_lines=1)
_narrow_rows, _narrow_row = (int8_microkernel(ACTIVE_ISA.narrow, rows, prefetched_lines=1) for rows in (NARROW_MR, 1))


@compiled(void(_rows, float32, int8[:, ::1], float32[:, :, ::1]))
def quantize(weights: Any, most: Any, panels: Any, epilogue: Any) -> None:
    """Weights `[out, in]` to levels, `most` at most, into panels of zeros; their scales and sums to `constants`."""
    width = epilogue.shape[2]
    for output in range(len(weights)):
        row, greatest, total = weights[output], ZERO, np.int32(0)
        panel, lane = divmod(output, width)
        into, of_outputs = panels[panel], epilogue[panel]
        for i in range(row.size):
            greatest = fast_max(greatest, abs(row[i]))
        scale = max(greatest / most, MIN_SCALE)
        finer = ONE / scale
        for i in range(row.size):
            level = np.int32(np.floor(row[i] * finer + HALF))
            into[(i // INPUTS_PER_DOT * width + lane) * INPUTS_PER_DOT + i % INPUTS_PER_DOT] = np.int8(level)
            total = np.int32(total + level)
        of_outputs[0, lane], of_outputs[1, lane] = scale, scale * np.float32(total)


def pack(weights: np.ndarray, bias: np.ndarray | None) -> PackedWeights:
    """float32 `[out, in]` and `[out]`."""
    outputs, inputs = weights.shape
    width = NR if outputs > ACTIVE_ISA.narrow.nr else ACTIVE_ISA.narrow.nr
    count, size = -(-outputs // width), -(-inputs // INPUTS_PER_DOT) * INPUTS_PER_DOT * width
    room = np.zeros(count * size + CACHE_LINE_BYTES, np.int8)
    first = -room.ctypes.data % CACHE_LINE_BYTES
    panels = room[first : first + count * size].reshape(count, size)
    epilogue = np.zeros((count, 3, width), np.float32)
    quantize(weights, ACTIVE_ISA.max_weight, panels, epilogue)
    if bias is not None:
        of_outputs = np.zeros(count * width, np.float32)
        of_outputs[:outputs] = bias
        epilogue[:, 2] = of_outputs.reshape(count, width)
    return PackedWeights(panels, epilogue)


@compiled(inline="always")
def _activate(row: Any, activation: Any) -> None:
    if activation == GELU:
        for i in range(row.size):
            value = row[i]
            slope = GELU_SLOPE * (value + GELU_CUBIC * value * value * value)
            row[i] = value / (ONE + exp(-slope))
    elif activation == SILU:
        for i in range(row.size):
            row[i] = row[i] / (ONE + exp(-row[i]))


@compiled(inline="always")
def _some_rows(left: Any, left_step: Any, panel: Any, epilogue: Any, scale_x: Any, min_x: Any, y: Any, y_stride: Any,
               prefetch_address: Any, prefetch_stride: Any, k_groups: Any, width: Any, rows: Any) -> Any:  # fmt: skip
    """As many of so many rows as go into the registers. How many that were."""
    if width < NR:
        if rows >= NARROW_MR:
            _narrow_rows(
                left,
                left_step,
                panel,
                epilogue,
                scale_x,
                min_x,
                y,
                y_stride,
                prefetch_address,
                prefetch_stride,
                k_groups,
            )
            return NARROW_MR
        _narrow_row(
            left, left_step, panel, epilogue, scale_x, min_x, y, y_stride, prefetch_address, prefetch_stride, k_groups
        )
        return 1
    if rows >= MR and prefetch_stride <= CACHE_LINE_BYTES:
        _all_of_many(
            left, left_step, panel, epilogue, scale_x, min_x, y, y_stride, prefetch_address, prefetch_stride, k_groups
        )
        return MR
    if rows >= MR:
        _all_rows(
            left, left_step, panel, epilogue, scale_x, min_x, y, y_stride, prefetch_address, prefetch_stride, k_groups
        )
        return MR
    if rows >= 4:
        _four_rows(
            left, left_step, panel, epilogue, scale_x, min_x, y, y_stride, prefetch_address, prefetch_stride, k_groups
        )
        return 4
    if rows >= 2:
        _two_rows(
            left, left_step, panel, epilogue, scale_x, min_x, y, y_stride, prefetch_address, prefetch_stride, k_groups
        )
        return 2
    _one_row(left, left_step, panel, epilogue, scale_x, min_x, y, y_stride, prefetch_address, prefetch_stride, k_groups)
    return 1


@compiled()
def _multiply(q_x: Any, scale_x: Any, min_x: Any, panels: Any, epilogue: Any, activation: Any, residual: Any,
              room: Any, y: Any) -> None:  # fmt: skip
    """Some rows of levels times all panels: `y` `[rows, out]`, activated, plus the residual if there is one. `room`
    `[rows, width]` is for a panel that has more outputs than there are.
    """
    rows, outputs = y.shape
    size, width = panels.shape[1], epilogue.shape[2]
    blocks = -(-rows // (MR if width == NR else NARROW_MR))
    prefetch_stride = INPUTS_PER_DOT * width // blocks  # each block of rows fetches its share of the next panel
    for number in range(len(panels)):
        panel, first = panels[number].ctypes.data, number * width
        last = min(first + width, outputs)
        fits = first + width == last
        into, step = (y.ctypes.data + 4 * first, 4 * outputs) if fits else (room.ctypes.data, 4 * width)
        row, prefetch_address = 0, panel + size
        while row < rows:
            row += _some_rows(
                q_x[row:].ctypes.data, q_x.shape[1], panel, epilogue[number].ctypes.data,
                scale_x[row:].ctypes.data, min_x[row:].ctypes.data, into + row * step, step, prefetch_address, prefetch_stride,
                size // (INPUTS_PER_DOT * width), width, rows - row,
            )  # fmt: skip
            prefetch_address += size // blocks
        for row in range(rows):
            of_row = y[row, first:last]
            if not fits:
                of_row[:] = room[row, : last - first]
            _activate(of_row, activation)
            if len(residual):
                onto = residual[row, first:last]
                for i in range(of_row.size):
                    of_row[i] += onto[i]


@compiled(inline="always")
def _span(seen: Any, start: Any, end: Any, low: Any, high: Any) -> None:
    """The least and the greatest of each step of `seen` `[time, channels]` from start to end."""
    for at in range(start, end):
        step = seen[at]
        least = most = step[0]
        for i in range(step.size):
            least = fast_min(least, step[i])
            most = fast_max(most, step[i])
        low[at], high[at] = least, most


@compiled(inline="always")
def _levels(low: Any, high: Any, taps: Any, dilation: Any, least: Any, scale: Any, finer: Any) -> None:
    """Where the levels of each output begin and how far apart they are, of the least and greatest of what it sees."""
    for output in range(least.size):
        least[output], scale[output] = low[output], high[output]
    for tap in range(1, taps):
        for output in range(least.size):
            least[output] = fast_min(least[output], low[output + tap * dilation])
            scale[output] = fast_max(scale[output], high[output + tap * dilation])
    for output in range(least.size):
        step = fast_max((scale[output] - least[output]) / QUANT_MAX, MIN_SCALE)
        scale[output], finer[output] = step, ONE / step
        least[output] = np.floor(least[output] / step + HALF) * step


@compiled(inline="always")
def _quantize(numbers: Any, least: Any, finer: Any, into: Any) -> None:
    """By the first number of `least` and of `finer`."""
    count = numbers.size // LANES
    if count:
        simd.quantize(numbers.ctypes.data, count, least.ctypes.data, finer.ctypes.data, into.ctypes.data)
    for i in range(count * LANES, numbers.size):
        level = np.uint32(np.int32((numbers[i] - least[0]) * finer[0] + HALF))
        into[i] = np.uint8(min(level, QUANT_MAX_U32))


@compiled()
def _convolve(state: Any, x: Any, apply_elu: Any, taps: Any, dilation: Any, panels: Any, epilogue: Any, activation: Any,
              residual: Any, y: Any, seen: Any, low: Any, high: Any, of_outputs: Any, q_x: Any, scale_x: Any,
              min_x: Any, room: Any) -> None:  # fmt: skip
    """As `convolve`, in arrays that it owns: a few steps of time, and the levels of a few outputs."""
    x, panels, epilogue, residual, y = (
        unowned_view(x),
        unowned_view(panels),
        unowned_view(epilogue),
        unowned_view(residual),
        unowned_view(y),
    )
    seen, low, high, room = unowned_view(seen), unowned_view(low), unowned_view(high), unowned_view(room)
    q_x, scale_x, min_x, of_outputs = (
        unowned_view(q_x),
        unowned_view(scale_x),
        unowned_view(min_x),
        unowned_view(of_outputs),
    )
    least, scale, finer = of_outputs[0], of_outputs[1], of_outputs[2]
    rows, time, channels = x.shape
    reach, held = state.shape[1], len(q_x)
    block, as_it_lies = len(low) - reach, not len(seen)
    runs, width = (1, taps * channels) if dilation == 1 else (taps, channels)  # of what lies side by side
    filled = done = 0
    for row in range(rows):
        seen[:reach] = state[row]
        _span(seen, 0, reach, low, high)
        for first in range(0, time, block):
            count = min(block, time - first)
            if as_it_lies:
                seen = x[row]
            else:
                copy_elu(x[row, first : first + count], apply_elu, seen[reach : reach + count])
            _span(seen, reach, reach + count, low, high)
            flat = seen.ravel()
            _levels(low, high, taps, dilation, least[:count], scale[:count], finer[:count])
            for output in range(count):
                scale_x[filled], min_x[filled] = scale[output], least[output]
                for run in range(runs):
                    start = (output + run * dilation) * channels
                    into = q_x[filled, run * width : (run + 1) * width]
                    _quantize(flat[start : start + width], least[output:], finer[output:], into)
                filled += 1
                if filled == held:
                    onto, out = residual[done : done + held], y[done : done + held]
                    _multiply(q_x, scale_x, min_x, panels, epilogue, activation, onto, room, out)
                    done, filled = done + held, 0
            for at in range(reach):
                seen[at] = seen[count + at]
                low[at], high[at] = low[count + at], high[count + at]
        state[row] = seen[:reach]
    if filled:
        _multiply(q_x[:filled], scale_x, min_x, panels, epilogue, activation, residual[done:], room, y[done:])


@compiled(void(_tails, _batch, boolean, int64, int64, int8[:, ::1], _batch, int64, _rows, _rows))
def convolve(state: Any, x: Any, apply_elu: Any, taps: Any, dilation: Any, panels: Any, epilogue: Any, activation: Any,
             residual: Any, y: Any) -> None:  # fmt: skip
    """A convolution over `x` `[rows, time, channels]`, which goes through ELU if that is asked, behind `tail`
    `[rows, (taps - 1) * dilation, channels]`, which becomes the end of both: `y` `[rows * time, out]`, activated, plus
    `residual` of the same shape, or of no rows.

    Zero is a level: half of what an activation lets through is nearly that, and all of it would be off by the same.
    Block by block, so that what is activated is still near when it is looked at, as often as there are taps.
    """
    rows, time, channels = x.shape
    reach, held, width = state.shape[1], min(M_BLOCK, rows * time), epilogue.shape[2]
    as_it_lies = not apply_elu and not reach
    block = time if as_it_lies else min(time, max(1, L1_FLOATS // channels))
    _convolve(
        state, x, apply_elu, taps, dilation, panels, epilogue, activation, residual, y,
        np.empty((0 if as_it_lies else reach + block, channels), np.float32),
        np.empty(reach + block, np.float32), np.empty(reach + block, np.float32), np.empty((3, block), np.float32),
        np.empty((held, panels.shape[1] // width), np.uint8),
        np.empty(held, np.float32), np.empty(held, np.float32), np.empty((held, width), np.float32),
    )  # fmt: skip

"""Loops over numbers that torch can only do in many passes: each is compiled for this processor, once, by Numba.

They stand around int8 products. What they compute is float32 and on this thread alone; Python's lock is free
meanwhile. Loading this module compiles them, or finds them compiled beside it on the disk.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, TypeVar

import numba
import numpy as np
from numba import boolean, float32, int8, int64, uint8, void
from numba.extending import intrinsic

LEVELS, GREATEST = np.float32(255.0), np.uint32(255)
TINY = np.float32(1e-12)
ZERO, HALF, ONE = np.float32(0.0), np.float32(0.5), np.float32(1.0)
LOG2_E = np.float32(1.4426950408889634)
LOWEST = np.float32(-87.0)  # e to this is the smallest float32 that is not denormal
HIGHEST = np.float32(88.0)
MANTISSA_BITS = np.int32(23)
# 2^x for x in [-0.5, 0.5] to 1e-7: a minimax polynomial, highest power first.
POWERS = tuple(
    np.float32(part)
    for part in (1.535336188e-4, 1.339887441e-3, 9.618437358e-3, 5.550332471e-2, 2.402264791e-1, 6.931472029e-1, 1.0)
)
NONE, GELU, SILU = 0, 1, 2
ACTIVATIONS = {None: NONE, "gelu": GELU, "silu": SILU}
# 2 * sqrt(2 / pi) and the cubic's factor: Hendrycks and Gimpel 2016, arXiv:1606.08415.
GELU_SLOPE, GELU_CUBIC = np.float32(1.5957691216057308), np.float32(0.044715)

BLOCK = 8192  # numbers that stay in the nearest cache while they are worked on

_numbers, _rows, _batch, _tails = float32[::1], float32[:, ::1], float32[:, :, ::1], float32[:, :, :]
_bytes = uint8[:, ::1]
_Loop = TypeVar("_Loop", bound=Callable[..., Any])


def compiled(*signature: Any, inline: str = "never") -> Callable[[_Loop], _Loop]:
    """Now, for arguments of these types; without: when it is called, or within whoever calls it."""

    def compile_(loop: _Loop) -> _Loop:
        njit: Any = partial(
            numba.njit, *signature, inline=inline, nogil=True, fastmath=True, error_model="numpy", boundscheck=False
        )
        try:
            made: _Loop = njit(cache=True)(loop)
        except RuntimeError:  # nowhere may be written: it takes its seconds at each start
            made = njit()(loop)
        return made

    return compile_


def _first_if(comparison: str) -> Any:
    """That of two float32 which compares so with the other, in words that LLVM makes vectors of. Python's `min` and
    `max` say what is to be done about numbers that are none, and where many are compared that forbids it."""

    def choose(typing: Any, a: Any, b: Any) -> Any:
        def make(context: Any, builder: Any, signature: Any, both: Any) -> Any:
            chosen = builder.fcmp_ordered(comparison, *both, flags=("fast",))
            return builder.select(chosen, *both, flags=("fast",))

        return float32(float32, float32), make

    return intrinsic(choose)


least_of, most_of = _first_if("<"), _first_if(">")


@compiled(inline="always")
def _power(part: Any, whole: Any) -> Any:
    """2^part, which is half of one at most, times 2^whole."""
    power = POWERS[0]
    power = power * part + POWERS[1]
    power = power * part + POWERS[2]
    power = power * part + POWERS[3]
    power = power * part + POWERS[4]
    power = power * part + POWERS[5]
    power = power * part + POWERS[6]
    return np.int32(np.float32(power).view(np.int32) + (whole << MANTISSA_BITS)).view(np.float32)


@compiled(inline="always")
def exp(x: Any) -> Any:
    x = min(max(x, LOWEST), HIGHEST) * LOG2_E
    whole = np.floor(x + HALF)
    return _power(x - whole, np.int32(whole))


@compiled(inline="always")
def elu(x: Any) -> Any:
    """max(x, e^x - 1). The power is never above zero, where cutting off rounds it: that is cheaper than in `exp`."""
    power = max(min(x, ZERO), LOWEST) * LOG2_E
    whole = np.int32(power - HALF)
    return max(x, _power(power - np.float32(whole), whole) - ONE)


@compiled(inline="always")
def _move(x: Any, activated: Any, into: Any) -> None:
    """`x` `[time, channels]`, through ELU if that is asked, to where it is wanted."""
    numbers, places = x.ravel(), into.ravel()
    if activated:
        for i in range(numbers.size):
            places[i] = elu(numbers[i])
    else:
        for i in range(numbers.size):
            places[i] = numbers[i]


@compiled(void(_tails, _batch, boolean, _batch))
def join(tail: Any, x: Any, activated: Any, whole: Any) -> None:
    """`whole` `[rows, reach + time, channels]`: `tail` `[rows, reach, channels]`, then `x`, through ELU if that is
    asked. The tail becomes the end of that."""
    reach, time = tail.shape[1], x.shape[1]
    for row in range(len(x)):
        whole[row, :reach] = tail[row]
        _move(x[row], activated, whole[row, reach:])
        tail[row] = whole[row, time:]


@compiled(inline="always")
def _span(seen: Any, start: Any, end: Any, low: Any, high: Any) -> None:
    """The least and the greatest of each step of `seen` `[time, channels]` from start to end."""
    for at in range(start, end):
        step = seen[at]
        least = most = step[0]
        for i in range(step.size):
            least = least_of(least, step[i])
            most = most_of(most, step[i])
        low[at], high[at] = least, most


@compiled(void(_tails, _batch, boolean, int64, int64, _bytes, _numbers, _numbers))
def windows(tail: Any, x: Any, activated: Any, taps: Any, dilation: Any, levels: Any, scales: Any, lows: Any) -> None:
    """What each output of a convolution over `x` `[rows, time, channels]` sees, in 256 levels of its own.

    Before x, which goes through ELU if that is asked, lies `tail` `[rows, (taps - 1) * dilation, channels]`; it becomes
    the end of both. `levels` `[outputs, taps * channels]` times `scales` plus `lows` `[outputs]` is what was there.
    Zero is a level: half of what an activation lets through is nearly that, and all of it would be off by the same.

    Block by block, so that what is activated is still near when it is looked at, as often as there are taps.
    """
    rows, time, channels = x.shape
    reach = tail.shape[1]
    as_it_lies = not activated and not reach
    block = time if as_it_lies else min(time, max(1, BLOCK // channels))
    seen = x[0] if as_it_lies else np.empty((reach + block, channels), np.float32)
    low, high = np.empty(reach + block, np.float32), np.empty(reach + block, np.float32)
    runs, width = (1, taps * channels) if dilation == 1 else (taps, channels)  # of what lies side by side
    for row in range(rows):
        seen[:reach] = tail[row]
        _span(seen, 0, reach, low, high)
        for first in range(0, time, block):
            count = min(block, time - first)
            if as_it_lies:
                seen = x[row]
            else:
                _move(x[row, first : first + count], activated, seen[reach : reach + count])
            _span(seen, reach, reach + count, low, high)
            flat = seen.ravel()
            for output in range(count):
                least, most = low[output], high[output]
                for tap in range(1, taps):
                    least = min(least, low[output + tap * dilation])
                    most = max(most, high[output + tap * dilation])
                scale = max((most - least) / LEVELS, TINY)
                least = np.floor(least / scale + HALF) * scale
                n = row * time + first + output
                scales[n], lows[n] = scale, least
                finer = ONE / scale
                for run in range(runs):
                    start = (output + run * dilation) * channels
                    numbers, into = flat[start : start + width], levels[n, run * width : (run + 1) * width]
                    for i in range(width):
                        level = np.uint32(np.int32((numbers[i] - least) * finer + HALF))
                        into[i] = np.uint8(min(level, GREATEST))
            for at in range(reach):
                seen[at] = seen[count + at]
                low[at], high[at] = low[count + at], high[count + at]
        tail[row] = seen[:reach]


@compiled(void(_rows, float32, int8[:, ::1], _numbers, _numbers))
def quantize(weights: Any, most: Any, levels: Any, scales: Any, sums: Any) -> None:
    """`weights` `[out, in]` to `levels`, `most` at most, times `scales` `[out]`; `sums` of these products."""
    for output in range(len(weights)):
        row, into, greatest, total = weights[output], levels[output], ZERO, np.int32(0)
        for i in range(row.size):
            greatest = most_of(greatest, abs(row[i]))
        scale = max(greatest / most, TINY)
        finer = ONE / scale
        for i in range(row.size):
            level = np.int32(np.floor(row[i] * finer + HALF))
            into[i] = np.int8(level)
            total = np.int32(total + level)
        scales[output], sums[output] = scale, scale * np.float32(total)


@compiled(inline="always")
def _times(level: Any, weight: Any, total: Any) -> Any:
    return np.int32(total + np.int32(np.int32(level) * np.int32(weight)))


@compiled(void(_bytes, int8[:, ::1], _numbers, _rows))
def multiply(levels: Any, weights: Any, scales: Any, y: Any) -> None:
    """`levels` `[n, in]` times `weights` `[out, in]`, times the `scales` of these: `y` `[n, out]`.

    Four outputs at once, so that levels are read a quarter as often; where there are fewer left, the last again.
    """
    outputs = weights.shape[0]
    for n in range(levels.shape[0]):
        row = levels[n]
        for output in range(0, outputs, 4):
            b, c, d = min(output + 1, outputs - 1), min(output + 2, outputs - 1), min(output + 3, outputs - 1)
            weight_a, weight_b, weight_c, weight_d = weights[output], weights[b], weights[c], weights[d]
            sum_a = sum_b = sum_c = sum_d = np.int32(0)
            for i in range(row.size):
                sum_a = _times(row[i], weight_a[i], sum_a)
                sum_b = _times(row[i], weight_b[i], sum_b)
                sum_c = _times(row[i], weight_c[i], sum_c)
                sum_d = _times(row[i], weight_d[i], sum_d)
            y[n, output] = np.float32(sum_a) * scales[output]
            y[n, b] = np.float32(sum_b) * scales[b]
            y[n, c] = np.float32(sum_c) * scales[c]
            y[n, d] = np.float32(sum_d) * scales[d]


@compiled(void(_batch, _numbers, float32, _rows))
def weigh(x: Any, weights: Any, bias: Any, y: Any) -> None:
    """A convolution with one output: `x` `[rows, time, channels]` to `y` `[rows, outputs]`; weights tap after tap."""
    for row in range(x.shape[0]):
        flat = x[row].ravel()
        for output in range(y.shape[1]):
            seen, total = flat[output * x.shape[2] :], ZERO
            for i in range(weights.size):
                total += seen[i] * weights[i]
            y[row, output] = total + bias


@compiled(void(_rows, _numbers, _numbers, _numbers, _numbers, int64))
def finish(y: Any, scales: Any, lows: Any, sums: Any, bias: Any, activation: Any) -> None:
    """A product of levels, `y` `[n, outputs]`, to one of what was there; in place. `sums` are those of the weights."""
    for n in range(y.shape[0]):
        row, scale, low = y[n], scales[n], lows[n]
        for i in range(row.size):
            row[i] = row[i] * scale + (low * sums[i] + bias[i])
        if activation == GELU:
            for i in range(row.size):
                value = row[i]
                slope = GELU_SLOPE * (value + GELU_CUBIC * value * value * value)
                row[i] = value / (ONE + exp(-slope))
        elif activation == SILU:
            for i in range(row.size):
                row[i] = row[i] / (ONE + exp(-row[i]))


@compiled(void(_rows, _numbers, _numbers, _numbers, _numbers, _rows))
def finish_onto(y: Any, scales: Any, lows: Any, sums: Any, bias: Any, residual: Any) -> None:
    """The same, without an activation, plus `residual` `[n, outputs]`."""
    for n in range(y.shape[0]):
        row, scale, low, onto = y[n], scales[n], lows[n], residual[n]
        for i in range(row.size):
            row[i] = row[i] * scale + (low * sums[i] + bias[i]) + onto[i]

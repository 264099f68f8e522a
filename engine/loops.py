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

LEVELS = np.float32(255.0)
TINY = np.float32(1e-12)
ZERO, HALF, ONE = np.float32(0.0), np.float32(0.5), np.float32(1.0)
LOG2_E = np.float32(1.4426950408889634)
LOWEST = np.float32(-87.0)  # e to this is the smallest float32 that is not denormal
HIGHEST = np.float32(88.0)
EXPONENT_BIAS, MANTISSA_BITS = np.int32(127), np.int32(23)
SIGN, MAGNITUDE = np.int32(31), np.int32(0x7FFFFFFF)
# 2^x for x in [-0.5, 0.5] to 1e-7: a minimax polynomial, highest power first.
POWERS = tuple(
    np.float32(part)
    for part in (1.535336188e-4, 1.339887441e-3, 9.618437358e-3, 5.550332471e-2, 2.402264791e-1, 6.931472029e-1, 1.0)
)
NONE, GELU, SILU = 0, 1, 2
ACTIVATIONS = {None: NONE, "gelu": GELU, "silu": SILU}
# 2 * sqrt(2 / pi) and the cubic's factor: Hendrycks and Gimpel 2016, arXiv:1606.08415.
GELU_SLOPE, GELU_CUBIC = np.float32(1.5957691216057308), np.float32(0.044715)

_rows, _numbers, _bytes = float32[:, ::1], float32[::1], uint8[:, ::1]
_Loop = TypeVar("_Loop", bound=Callable[..., Any])


def compiled(*signature: Any, inline: str = "never") -> Callable[[_Loop], _Loop]:
    """Now, for arguments of these types; without: within whoever calls it."""

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


@compiled(inline="always")
def exp(x: Any) -> Any:
    x = min(max(x, LOWEST), HIGHEST) * LOG2_E
    whole = np.floor(x + HALF)
    part = x - whole
    power = POWERS[0]
    power = power * part + POWERS[1]
    power = power * part + POWERS[2]
    power = power * part + POWERS[3]
    power = power * part + POWERS[4]
    power = power * part + POWERS[5]
    power = power * part + POWERS[6]
    return np.int32((np.int32(whole) + EXPONENT_BIAS) << MANTISSA_BITS).view(np.float32) * power


@compiled(inline="always")
def _ordered(bits: Any) -> Any:
    """The bits of a float32 as an integer that is larger where the number is; and back. LLVM finds the least of whole
    vectors of integers, of floating point numbers it does not."""
    return np.int32(bits ^ (np.int32(bits >> SIGN) & MAGNITUDE))


@compiled(void(float32[:, :, ::1], float32[:, :, ::1], float32[:, :, ::1], boolean))
def join(before: Any, x: Any, whole: Any, elu: Any) -> None:
    """`whole` `[rows, tail + time, channels]`: what was before, then `x`, through ELU if that is asked."""
    tail = before.shape[1]
    for row in range(len(before)):
        whole[row, :tail] = before[row]
        new, into = x[row].ravel(), whole[row, tail:].ravel()
        if elu:
            for i in range(new.size):
                into[i] = max(new[i], exp(min(new[i], ZERO)) - ONE)
        else:
            into[:] = new


@compiled(void(float32[:, :, ::1], int64, int64, _bytes, _numbers, _numbers))
def windows(x: Any, taps: Any, dilation: Any, levels: Any, scales: Any, lows: Any) -> None:
    """What each output of a convolution over `x` `[rows, time, channels]` sees, in 256 levels of its own.

    `levels` `[outputs, taps * channels]` times `scales` plus `lows` `[outputs]` is what was there. Zero is a level:
    half of what an activation lets through is nearly that, and all of it would be off by the same.
    """
    rows, time, channels = x.shape
    bits = x.view(np.int32)
    low, high = np.empty(time, np.int32), np.empty(time, np.int32)
    outputs = time - (taps - 1) * dilation
    for row in range(rows):
        for at in range(time):
            step = bits[row, at]
            low[at] = high[at] = _ordered(step[0])
            least, most = low[at], high[at]
            for i in range(channels):
                value = _ordered(step[i])
                least = min(least, value)
                most = max(most, value)
            low[at], high[at] = least, most
        for output in range(outputs):
            least, most = low[output], high[output]
            for tap in range(1, taps):
                least = min(least, low[output + tap * dilation])
                most = max(most, high[output + tap * dilation])
            start = _ordered(least).view(np.float32)
            scale = max((_ordered(most).view(np.float32) - start) / LEVELS, TINY)
            start = np.floor(start / scale + HALF) * scale
            n = row * outputs + output
            scales[n], lows[n] = scale, start
            finer = ONE / scale
            for tap in range(taps):
                step = x[row, output + tap * dilation]
                into = levels[n, tap * channels : (tap + 1) * channels]
                for i in range(channels):
                    into[i] = np.uint8(min(np.int32((step[i] - start) * finer + HALF), np.int32(255)))


@compiled(void(_rows, float32, int8[:, ::1], _numbers, _numbers))
def quantize(weights: Any, most: Any, levels: Any, scales: Any, sums: Any) -> None:
    """`weights` `[out, in]` to `levels`, `most` at most, times `scales` `[out]`; `sums` of these products."""
    bits = weights.view(np.int32)
    for output in range(len(weights)):
        of, greatest, total = bits[output], np.int32(0), np.int32(0)
        for i in range(of.size):
            greatest = max(greatest, np.int32(of[i] & MAGNITUDE))
        scale = max(np.int32(greatest).view(np.float32) / most, TINY)
        finer = ONE / scale
        row, into = weights[output], levels[output]
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


@compiled(void(float32[:, :, ::1], _numbers, float32, _rows))
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

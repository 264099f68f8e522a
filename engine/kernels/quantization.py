"""Quantization of weights, symmetric by output, and of activations, asymmetric by row.

A row, which is one output's view of the input, has 256 levels of its own from its minimum to its maximum. So results do
not depend on other rows of a batch, and silence is not quantized by the range of speech. Zero is exactly a level:
half of what an activation lets through is nearly zero, and all of it would be off by the same amount.
"""

from typing import Any, NamedTuple

import numpy as np
from numba import float32, int8, void

from sayline_tts.engine.kernels.elementwise import quantize_vectors
from sayline_tts.engine.kernels.int8_microkernel import INPUTS_PER_DOT
from sayline_tts.engine.kernels.ir_builder import LANES
from sayline_tts.engine.kernels.jit import HALF, ONE, ZERO, address, compiled, fast_max, fast_min

QUANT_MAX, QUANT_MAX_U32 = np.float32(255.0), np.uint32(255)
MIN_SCALE = np.float32(1e-12)


class QuantizedRows(NamedTuple):
    """Inputs in 256 levels: x is near q_x * scale_x + min_x."""

    q_x: np.ndarray  # uint8 [rows, inputs rounded up to INPUTS_PER_DOT]
    scale_x: np.ndarray  # float32 [rows]
    min_x: np.ndarray  # float32 [rows], the zero point: what level 0 stands for


@compiled(void(float32[:, ::1], float32, int8[:, ::1], float32[:, :, ::1]))
def quantize_weights(weights: Any, max_weight: Any, panels: Any, epilogue: Any) -> None:
    """Quantize weights `[out, in]` to at most `max_weight`, into zeroed panels; scales and sums go to `epilogue`."""
    nr = epilogue.shape[2]
    for output in range(len(weights)):
        row, peak, total = weights[output], ZERO, np.int32(0)
        panel, lane = divmod(output, nr)
        target, constants = panels[panel], epilogue[panel]
        for i in range(row.size):
            peak = fast_max(peak, abs(row[i]))
        scale = max(peak / max_weight, MIN_SCALE)
        inverse_scale = ONE / scale
        for i in range(row.size):
            level = np.int32(np.floor(row[i] * inverse_scale + HALF))
            target[(i // INPUTS_PER_DOT * nr + lane) * INPUTS_PER_DOT + i % INPUTS_PER_DOT] = np.int8(level)
            total = np.int32(total + level)
        constants[0, lane], constants[1, lane] = scale, scale * np.float32(total)


@compiled(inline="always")
def min_max(x: Any, start: Any, end: Any, low: Any, high: Any) -> None:
    """Minimum and maximum of each step of `x` `[time, channels]` from start to end."""
    for at in range(start, end):
        step = x[at]
        least = most = step[0]
        for i in range(step.size):
            least = fast_min(least, step[i])
            most = fast_max(most, step[i])
        low[at], high[at] = least, most


@compiled(fastmath=False)
def zero_points_and_scales(low: Any, high: Any, taps: Any, dilation: Any, min_x: Any, scale: Any,
                           inverse_scale: Any) -> None:  # fmt: skip
    """Zero point and scale of each output, from the minima and maxima of the steps that its taps see.

    Not inlined, so that it keeps IEEE arithmetic: an output's levels are the same to the last bit among any others.
    """
    for output in range(min_x.size):
        min_x[output], scale[output] = low[output], high[output]
    for tap in range(1, taps):
        for output in range(min_x.size):
            min_x[output] = fast_min(min_x[output], low[output + tap * dilation])
            scale[output] = fast_max(scale[output], high[output + tap * dilation])
    for output in range(min_x.size):
        step = fast_max((scale[output] - min_x[output]) / QUANT_MAX, MIN_SCALE)
        scale[output], inverse_scale[output] = step, ONE / step
        min_x[output] = np.floor(min_x[output] / step + HALF) * step  # zero becomes a level


@compiled(inline="always")
def quantize(x: Any, min_x: Any, inverse_scale: Any, q_x: Any) -> None:
    """Quantize one row by the first element of `min_x` and of `inverse_scale`."""
    count = x.size // LANES
    if count:
        quantize_vectors(address(x), count, address(min_x), address(inverse_scale), address(q_x))
    for i in range(count * LANES, x.size):
        level = np.uint32(np.int32((x[i] - min_x[0]) * inverse_scale[0] + HALF))
        q_x[i] = np.uint8(min(level, QUANT_MAX_U32))

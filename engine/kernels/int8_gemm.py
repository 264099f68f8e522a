"""Int8 convolutions and linear layers: quantize, multiply and scale back in one kernel.

M counts rows, N outputs, K inputs. Rows are quantized in blocks of `M_BLOCK`; a block is multiplied by one panel of
weights after another, `MR` rows at a time by the microkernel. Meanwhile the next panel is prefetched, since FlowLM's
weights come from memory and not from a cache.
"""

from typing import Any, NamedTuple

import numpy as np
from numba import float32, int8, int64, void

from sayline_tts.engine.kernels.conv_kernels import copy_elu
from sayline_tts.engine.kernels.elementwise import exp
from sayline_tts.engine.kernels.int8_microkernel import INPUTS_PER_DOT, Tile, int8_microkernel
from sayline_tts.engine.kernels.ir_builder import CACHE_LINE_BYTES
from sayline_tts.engine.kernels.jit import ACTIVE_ISA, ONE, address, compiled, struct_type, unowned_view
from sayline_tts.engine.kernels.quantization import (
    QuantizedRows,
    min_max,
    quantize,
    quantize_weights,
    zero_points_and_scales,
)

NONE: Any = np.int64(0)
GELU: Any = np.int64(1)
SILU: Any = np.int64(2)
ACTIVATIONS: dict[str | None, Any] = {None: NONE, "gelu": GELU, "silu": SILU}
# 2 * sqrt(2 / pi) and the cubic's factor: Hendrycks and Gimpel 2016, arXiv:1606.08415.
GELU_SLOPE, GELU_CUBIC = np.float32(1.5957691216057308), np.float32(0.044715)

L1_FLOATS = 8192  # numbers that stay in the nearest cache while they are worked on
M_BLOCK = 72  # rows that are quantized and multiplied at once: weights are read once for each such block
MR, NR, NARROW_MR = ACTIVE_ISA.mr, ACTIVE_ISA.nr, ACTIVE_ISA.narrow.mr


class PackedWeights(NamedTuple):
    """Weights of one layer."""

    panels: np.ndarray  # int8 [panels, inputs / 4 * nr * 4]
    epilogue: np.ndarray  # float32 [panels, 3, nr]: of each output its scale, scale times the sum of weights, the bias


class Int8Conv(NamedTuple):
    """A convolution over `[rows, time, channels]`. A linear layer has one tap."""

    panels: np.ndarray
    epilogue: np.ndarray
    taps: int
    dilation: int
    apply_elu: int  # 1: the input goes through ELU first
    activation: int  # of the output


class _Scratch(NamedTuple):
    window: np.ndarray  # float32 [reach + block, channels]: state and a block of the input; empty: `x` is used in place
    low: np.ndarray  # float32 [reach + block]: minima and maxima of its steps
    high: np.ndarray
    parameters: np.ndarray  # float32 [3, block]: zero points, scales and inverse scales of its outputs
    quantized: QuantizedRows
    panel_out: np.ndarray  # float32 [M_BLOCK, nr], for a panel that is wider than the outputs that are left


PACKED_WEIGHTS = struct_type(PackedWeights, int8[:, ::1], float32[:, :, ::1])
INT8_CONV = struct_type(Int8Conv, int8[:, ::1], float32[:, :, ::1], int64, int64, int64, int64)

_kernel_mr, _kernel_4, _kernel_2, _kernel_1 = (int8_microkernel(ACTIVE_ISA, rows) for rows in (MR, 4, 2, 1))
_kernel_mr_of_many = int8_microkernel(ACTIVE_ISA, MR, prefetched_lines=1)
_narrow_kernel_mr, _narrow_kernel_1 = (
    int8_microkernel(ACTIVE_ISA.narrow, rows, prefetched_lines=1) for rows in (NARROW_MR, 1)
)


def pack(weights: np.ndarray, bias: np.ndarray | None) -> PackedWeights:
    """Quantize float32 weights `[out, in]` and pack them with the bias `[out]`."""
    outputs, inputs = weights.shape
    nr = NR if outputs > ACTIVE_ISA.narrow.nr else ACTIVE_ISA.narrow.nr
    count, size = -(-outputs // nr), -(-inputs // INPUTS_PER_DOT) * INPUTS_PER_DOT * nr
    buffer = np.zeros(count * size + CACHE_LINE_BYTES, np.int8)
    first = -buffer.ctypes.data % CACHE_LINE_BYTES
    panels = buffer[first : first + count * size].reshape(count, size)
    epilogue = np.zeros((count, 3, nr), np.float32)
    quantize_weights(weights, ACTIVE_ISA.max_weight, panels, epilogue)
    if bias is not None:
        padded = np.zeros(count * nr, np.float32)
        padded[:outputs] = bias
        epilogue[:, 2] = padded.reshape(count, nr)
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
def _run_microkernel(tile: Any, nr: Any, rows: Any) -> Any:
    """Multiply as many of `rows` rows as a microkernel takes; returns their number."""
    if nr < NR:
        if rows >= NARROW_MR:
            _narrow_kernel_mr(tile)
            return NARROW_MR
        _narrow_kernel_1(tile)
        return 1
    if rows >= MR and tile.prefetch_stride <= CACHE_LINE_BYTES:
        _kernel_mr_of_many(tile)
        return MR
    if rows >= MR:
        _kernel_mr(tile)
        return MR
    if rows >= 4:
        _kernel_4(tile)
        return 4
    if rows >= 2:
        _kernel_2(tile)
        return 2
    _kernel_1(tile)
    return 1


@compiled()
def _gemm(quantized: Any, conv: Any, residual: Any, panel_out: Any, y: Any) -> None:
    """Multiply quantized rows by all panels: `y` `[rows, out]`, activated, plus the residual unless it has no rows."""
    rows, outputs = y.shape
    size, nr = conv.panels.shape[1], conv.epilogue.shape[2]
    blocks = -(-rows // (MR if nr == NR else NARROW_MR))
    prefetch_stride = INPUTS_PER_DOT * nr // blocks  # each block of rows prefetches its share of the next panel
    for number in range(len(conv.panels)):
        panel, first = address(conv.panels[number]), number * nr
        last = min(first + nr, outputs)
        fits = first + nr == last
        target, stride = (address(y) + 4 * first, 4 * outputs) if fits else (address(panel_out), 4 * nr)
        row, prefetched = 0, panel + size
        while row < rows:
            tile = Tile(
                address(quantized.q_x[row:]), quantized.q_x.shape[1], panel, address(conv.epilogue[number]),
                address(quantized.scale_x[row:]), address(quantized.min_x[row:]), target + row * stride, stride,
                prefetched, prefetch_stride, size // (INPUTS_PER_DOT * nr),
            )  # fmt: skip
            row += _run_microkernel(tile, nr, rows - row)
            prefetched += size // blocks
        for row in range(rows):
            outputs_of_row = y[row, first:last]
            if not fits:
                outputs_of_row[:] = panel_out[row, : last - first]
            _activate(outputs_of_row, conv.activation)
            if len(residual):
                added = residual[row, first:last]
                for i in range(outputs_of_row.size):
                    outputs_of_row[i] += added[i]


@compiled()
def _run_conv(conv: Any, state: Any, x: Any, residual: Any, y: Any, scratch: Any) -> None:
    """As `int8_conv`, with scratch memory: blocks of time steps, and quantized rows of `M_BLOCK` outputs."""
    x, residual, y = unowned_view(x), unowned_view(residual), unowned_view(y)
    panels, epilogue = unowned_view(conv.panels), unowned_view(conv.epilogue)
    conv = Int8Conv(panels, epilogue, conv.taps, conv.dilation, conv.apply_elu, conv.activation)
    window, low, high = unowned_view(scratch.window), unowned_view(scratch.low), unowned_view(scratch.high)
    parameters, panel_out = unowned_view(scratch.parameters), unowned_view(scratch.panel_out)
    q_x, scale_x = unowned_view(scratch.quantized.q_x), unowned_view(scratch.quantized.scale_x)
    quantized = QuantizedRows(q_x, scale_x, unowned_view(scratch.quantized.min_x))
    min_x, scale, inverse_scale = parameters[0], parameters[1], parameters[2]
    rows, time, channels = x.shape
    reach, m_block = state.shape[1], len(q_x)
    block, in_place = len(low) - reach, not len(window)
    # Taps without dilation lie side by side, as one run.
    runs, width = (1, conv.taps * channels) if conv.dilation == 1 else (conv.taps, channels)
    filled = done = 0
    for row in range(rows):
        window[:reach] = state[row]
        min_max(window, 0, reach, low, high)
        for first in range(0, time, block):
            count = min(block, time - first)
            if in_place:
                window = x[row]
            else:
                copy_elu(x[row, first : first + count], conv.apply_elu == 1, window[reach : reach + count])
            min_max(window, reach, reach + count, low, high)
            flat = window.ravel()
            zero_points_and_scales(
                low, high, conv.taps, conv.dilation, min_x[:count], scale[:count], inverse_scale[:count]
            )
            for output in range(count):
                scale_x[filled], quantized.min_x[filled] = scale[output], min_x[output]
                for run in range(runs):
                    start = (output + run * conv.dilation) * channels
                    target = q_x[filled, run * width : (run + 1) * width]
                    quantize(flat[start : start + width], min_x[output:], inverse_scale[output:], target)
                filled += 1
                if filled == m_block:
                    added, out = residual[done : done + m_block], y[done : done + m_block]
                    _gemm(quantized, conv, added, panel_out, out)
                    done, filled = done + m_block, 0
            for at in range(reach):
                window[at] = window[count + at]
                low[at], high[at] = low[count + at], high[count + at]
        state[row] = window[:reach]
    if filled:
        _gemm(quantized, conv, residual[done:], panel_out, y[done:])


@compiled(void(INT8_CONV, float32[:, :, :], float32[:, :, ::1], float32[:, ::1], float32[:, ::1]))
def int8_conv(conv: Any, state: Any, x: Any, residual: Any, y: Any) -> None:
    """Convolve `x` `[rows, time, channels]` behind `state` `[rows, (taps - 1) * dilation, channels]`, which is updated.

    `y` `[rows * time, out]` is activated; `residual` of the same shape is added, unless it has no rows. The input is
    processed in blocks, so that what ELU wrote is still in the nearest cache when all taps read it.
    """
    rows, time, channels = x.shape
    reach, m_block, nr = state.shape[1], min(M_BLOCK, rows * time), conv.epilogue.shape[2]
    in_place = conv.apply_elu == 0 and not reach
    block = time if in_place else min(time, max(1, L1_FLOATS // channels))
    quantized = QuantizedRows(
        np.empty((m_block, conv.panels.shape[1] // nr), np.uint8),
        np.empty(m_block, np.float32),
        np.empty(m_block, np.float32),
    )
    scratch = _Scratch(
        np.empty((0 if in_place else reach + block, channels), np.float32),
        np.empty(reach + block, np.float32),
        np.empty(reach + block, np.float32),
        np.empty((3, block), np.float32),
        quantized,
        np.empty((m_block, nr), np.float32),
    )
    _run_conv(conv, state, x, residual, y, scratch)

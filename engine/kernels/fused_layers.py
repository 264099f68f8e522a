"""Several layers in int8 as one loop: norms, products, convolutions and what is between them.

A call of its own for each of these costs a single row a fifth of its step.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numba import float32, int8, int64, uint16, void
from torch import Tensor

from sayline_tts.engine.kernels import attention
from sayline_tts.engine.kernels.int8_gemm import GELU, NONE, SILU, PackedWeights, convolve
from sayline_tts.engine.kernels.jit import ONE, ZERO, carray, compiled, pointer, unowned_view
from sayline_tts.engine.kernels.ops import Int8Convolution

LAYER_NORM_EPS = np.float32(1e-5)
ADALN_EPS = np.float32(1e-6)

_numbers, _rows, _batch, _bytes = float32[::1], float32[:, ::1], float32[:, :, ::1], int8[:, ::1]
_weights, _of_rows, _of_parts = (_bytes, _batch), int64[::1], int64[:, ::1]


@compiled(inline="always")
def layer_norm(x: Any, gain_1: Any, bias_1: Any, epsilon: Any, y: Any) -> None:
    """Layer norm of `x` `[positions, width]`."""
    share = ONE / np.float32(gain_1.size)
    for position in range(len(x)):
        values_row, y_matrix, total, squares = x[position], y[position], ZERO, ZERO
        for i in range(gain_1.size):
            total += values_row[i]
        mean = total * share
        for i in range(gain_1.size):
            squares += (values_row[i] - mean) * (values_row[i] - mean)
        scale = ONE / np.sqrt(squares * share + epsilon)
        for i in range(gain_1.size):
            y_matrix[i] = (values_row[i] - mean) * scale * gain_1[i] + bias_1[i]


@compiled(inline="always")
def int8_linear(x: Any, panels: Any, epilogue: Any, activation: Any, residual: Any, y: Any) -> None:
    """`x` `[positions, in]` to `y` `[positions, out]`, activated, plus the residual, if it is not of no positions."""
    previous = np.empty((1, 0, x.shape[1]), np.float32)
    behind = x.reshape((1, x.shape[0], x.shape[1]))
    convolve(previous, behind, False, 1, 1, panels, epilogue, activation, residual, y)


@compiled(
    void(
        _rows, _rows, int64, _rows, *[_of_parts] * 5, _of_rows, _of_rows, uint16[::1], _batch,
        *[_numbers] * 4, *_weights * 4, int64, int64,
    )
)  # fmt: skip
def transformer_block(x: Any, y: Any, layer: Any, cos_sin: Any, keys: Any, values: Any, counts: Any, layer_strides: Any,
               head_strides: Any, query_lengths: Any, window_slack: Any, storage: Any, scores: Any, gain_1: Any, bias_1: Any, gain_2: Any,
               bias_2: Any, in_panels: Any, in_epilogue: Any, out_panels: Any, out_epilogue: Any,
               up_panels: Any, up_epilogue: Any, down_panels: Any, down_epilogue: Any, heads: Any,
               kv_heads: Any) -> None:  # fmt: skip
    """`x` to `y`, `[positions, width]`; what attention takes is explained there."""
    positions, dim = len(x), cos_sin.shape[1]
    normalized = np.empty_like(x)
    qkv = np.empty((positions, heads + 2 * kv_heads, dim), np.float32)
    out = np.empty((positions, heads, dim), np.float32)
    residual_stream = np.empty_like(x)
    hidden = np.empty((positions, down_panels.shape[1] // down_epilogue.shape[2]), np.float32)
    flat = qkv.reshape((positions, (heads + 2 * kv_heads) * dim))
    layer_norm(unowned_view(x), gain_1, bias_1, LAYER_NORM_EPS, unowned_view(normalized))
    int8_linear(normalized, in_panels, in_epilogue, NONE, flat[:0], flat)
    attention.paged_attention(qkv, cos_sin, layer, keys, values, counts, layer_strides, head_strides, query_lengths, window_slack, storage,
                     out, scores)  # fmt: skip
    int8_linear(out.reshape((positions, heads * dim)), out_panels, out_epilogue, NONE, x, residual_stream)
    layer_norm(unowned_view(residual_stream), gain_2, bias_2, LAYER_NORM_EPS, unowned_view(normalized))
    int8_linear(normalized, up_panels, up_epilogue, GELU, hidden[:0], hidden)
    int8_linear(hidden, down_panels, down_epilogue, NONE, residual_stream, y)


class TransformerBlockKernel:
    """`norms`: gain and bias of both. `products`: into attention and out of it, wide and back."""

    def __init__(
        self, norms: tuple[np.ndarray, ...], weights: tuple[PackedWeights, ...], heads: int, kv_heads: int
    ) -> None:
        self._parameters: tuple[Any, ...] = *norms, *(part for each in weights for part in each), heads, kv_heads
        self._heads = heads

    def __call__(self, x: Tensor, metadata: attention.AttentionMetadata, layer: int) -> Tensor:
        """Vectors `[..., width]` of the positions of a pass."""
        flat = x.reshape(-1, x.shape[-1]).contiguous()
        y = torch.empty_like(flat)
        with metadata.captured_scores(layer, self._heads) as scores:
            transformer_block(
                flat.numpy(), y.numpy(), layer, metadata.cos_sin, *metadata.block_table, metadata.query_lengths, metadata.window_slack, metadata.storage, scores,
                *self._parameters,
            )  # fmt: skip
        return y.view(x.shape)


@compiled(void(_rows, float32[:, :], _rows, _numbers, _numbers, *_weights * 2))
def adaln_block(x: Any, modulation: Any, y: Any, gain_1: Any, bias_1: Any, panels: Any, epilogue: Any, panels_2: Any,
            epilogue_2: Any) -> None:  # fmt: skip
    """`x` to `y`, `[rows, width]`, as `modulation` `[rows, 3 * width]` says: shift, scale and gate of each."""
    width = gain_1.size
    normalized, residual_stream = np.empty_like(x), np.empty_like(x)
    layer_norm(unowned_view(x), gain_1, bias_1, ADALN_EPS, unowned_view(normalized))
    for row in range(len(x)):
        values_row, shift_scale_gate = normalized[row], modulation[row]
        for i in range(width):
            values_row[i] = shift_scale_gate[i] + values_row[i] * (shift_scale_gate[width + i] + ONE)
    int8_linear(normalized, panels, epilogue, SILU, normalized[:0], residual_stream)
    int8_linear(residual_stream, panels_2, epilogue_2, NONE, normalized[:0], y)
    for row in range(len(x)):
        values_row, y_matrix, shift_scale_gate = x[row], y[row], modulation[row]
        for i in range(width):
            y_matrix[i] = values_row[i] + shift_scale_gate[2 * width + i] * y_matrix[i]


class AdaLNBlockKernel:
    """`norm`: gain and bias. `products`: both layers."""

    def __init__(self, norm: tuple[np.ndarray, ...], weights: tuple[PackedWeights, ...]) -> None:
        self._parameters: tuple[Any, ...] = *norm, *(part for each in weights for part in each)

    def __call__(self, x: Tensor, modulation: Tensor) -> Tensor:
        """`[rows, width]` and `[rows, 3 * width]`."""
        y = torch.empty_like(x)
        adaln_block(x.numpy(), modulation.numpy(), y.numpy(), *self._parameters)
        return y


@compiled(void(_batch, _of_parts, _of_parts, int64, _rows))
def conv_chain(x: Any, convolutions: Any, states: Any, max_numbers: Any, y: Any) -> None:
    """`x` `[rows, time, channels]` to `y` `[rows, numbers]`, where a convolution has no more than `most` of them."""
    buffers = np.empty((3, max_numbers), np.float32)
    for row in range(len(x)):
        previous = current = x[row].ravel()
        for index in range(len(convolutions)):
            (
                taps,
                dilation,
                elu,
                channels,
                outputs,
                adds_input,
                panels_address,
                panels,
                panel,
                epilogue_address,
                width,
            ) = convolutions[index]
            time, reach = current.size // channels, (taps - 1) * dilation
            is_last = index == len(convolutions) - 1
            out = y[row] if is_last else buffers[index % 3, : time * outputs]
            y_matrix = out.reshape((time, outputs))
            convolve(
                carray(pointer(states[index, 0] + row * states[index, 1]), (1, reach, channels), np.float32),
                current.reshape((1, time, channels)), elu == 1, taps, dilation,
                carray(pointer(panels_address), (panels, panel), np.int8),
                carray(pointer(epilogue_address), (panels, 3, width), np.float32), NONE,
                previous.reshape((time, outputs)) if adds_input else y_matrix[:0], y_matrix,
            )  # fmt: skip
            previous, current = current, out


class ConvChainKernel:
    """Convolutions one after the other, a row at a time: what is between them stays in the caches of a core. With each:
    is what came into the one before it added?
    """

    def __init__(self, convolutions: Sequence[tuple[Int8Convolution, bool]]) -> None:
        self._convolutions = [each for each, _ in convolutions]  # own what is addressed here
        self._table = np.array([
            [each.taps, each.dilation, each.elu, each.channels, each.outputs, adds_input,
             panels.ctypes.data, *panels.shape, epilogue.ctypes.data, epilogue.shape[2]]
            for each, adds_input in convolutions for panels, epilogue in [each.weights]
        ], np.int64)  # fmt: skip

    def __call__(self, x: Tensor, states: Sequence[Tensor]) -> Tensor:
        """`x` `[rows, time, channels]` behind the tails of all, `[rows, reach, channels]` each, which go on; what comes
        out, `[rows, numbers]`.
        """
        sizes = [x.shape[1] * x.shape[2]]
        for each in self._convolutions:
            sizes.append(sizes[-1] // each.channels * each.outputs)
        y = torch.empty(len(x), sizes[-1])
        state_table = np.array([[tail.data_ptr(), tail.stride(0) * tail.element_size()] for tail in states], np.int64)
        conv_chain(x.numpy(), self._table, state_table, max(sizes), y.numpy())
        return y

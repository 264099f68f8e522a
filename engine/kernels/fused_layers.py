"""Several int8 layers as one kernel: a transformer block, a block of the flow head, a chain of convolutions.

With a call for each product, norm and activation instead, a step of a single row takes a fifth longer.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from numba import carray, float32, int64, uint16, void  # type: ignore[attr-defined]
from torch import Tensor

from sayline_tts.engine.kernels.attention import AttentionMetadata
from sayline_tts.engine.kernels.int8_gemm import (
    GELU,
    NONE,
    PACKED_WEIGHTS,
    SILU,
    Int8Conv,
    PackedWeights,
    int8_conv,
)
from sayline_tts.engine.kernels.jit import ONE, ZERO, compiled, pointer, struct_type, unowned_view
from sayline_tts.engine.kernels.ops import ADALN_EPS, LAYER_NORM_EPS, Int8Convolution
from sayline_tts.engine.kernels.paged_attention import attention_batch_type, paged_attention

_LAYER_NORM_EPS, _ADALN_EPS = np.float32(LAYER_NORM_EPS), np.float32(ADALN_EPS)
_ZERO: Any = np.int64(0)  # typed, so that structs get the same type as from Python
_ONE: Any = np.int64(1)

_vector, _matrix, _tensor, _table = float32[::1], float32[:, ::1], float32[:, :, ::1], int64[:, ::1]


class Norm(NamedTuple):
    """Parameters of a layer norm, float32 `[width]`."""

    gain: np.ndarray
    bias: np.ndarray


class TransformerWeights(NamedTuple):
    """Parameters of a pre-norm transformer block."""

    norm_1: Norm
    norm_2: Norm
    in_proj: PackedWeights
    out_proj: PackedWeights
    up: PackedWeights
    down: PackedWeights
    heads: int
    kv_heads: int


class AdaLNWeights(NamedTuple):
    """Parameters of a residual block with adaptive layer norm."""

    norm: Norm
    linear_1: PackedWeights
    linear_2: PackedWeights


NORM = struct_type(Norm, _vector, _vector)
TRANSFORMER_WEIGHTS = struct_type(TransformerWeights, NORM, NORM, *[PACKED_WEIGHTS] * 4, int64, int64)
ADALN_WEIGHTS = struct_type(AdaLNWeights, NORM, PACKED_WEIGHTS, PACKED_WEIGHTS)


@compiled(inline="always")
def layer_norm(x: Any, norm: Any, epsilon: Any, y: Any) -> None:
    """Layer norm of `x` `[positions, width]`."""
    gain, bias = norm.gain, norm.bias
    share = ONE / np.float32(gain.size)
    for position in range(len(x)):
        values, target, total, squares = x[position], y[position], ZERO, ZERO
        for i in range(gain.size):
            total += values[i]
        mean = total * share
        for i in range(gain.size):
            squares += (values[i] - mean) * (values[i] - mean)
        scale = ONE / np.sqrt(squares * share + epsilon)
        for i in range(gain.size):
            target[i] = (values[i] - mean) * scale * gain[i] + bias[i]


@compiled(inline="always")
def int8_linear(x: Any, weights: Any, activation: Any, residual: Any, y: Any) -> None:
    """`x` `[positions, in]` to `y` `[positions, out]`, activated, plus the residual unless it has no positions."""
    no_state = np.empty((1, 0, x.shape[1]), np.float32)
    conv = Int8Conv(weights.panels, weights.epilogue, _ONE, _ONE, _ZERO, activation)
    int8_conv(conv, no_state, x.reshape((1, x.shape[0], x.shape[1])), residual, y)


@compiled(void(_matrix, int64, attention_batch_type(uint16), TRANSFORMER_WEIGHTS, _tensor, _matrix))
def transformer_block(x: Any, layer: Any, batch: Any, weights: Any, scores: Any, y: Any) -> None:
    """`x` to `y`, `[positions, width]`; `scores` as `paged_attention` has them."""
    positions, dim = len(x), batch.cos_sin.shape[1]
    heads, kv_heads = weights.heads, weights.kv_heads
    normalized = np.empty_like(x)
    qkv = np.empty((positions, heads + 2 * kv_heads, dim), np.float32)
    attended = np.empty((positions, heads, dim), np.float32)
    residual = np.empty_like(x)
    hidden = np.empty((positions, weights.down.panels.shape[1] // weights.down.epilogue.shape[2]), np.float32)
    flat = qkv.reshape((positions, (heads + 2 * kv_heads) * dim))
    layer_norm(unowned_view(x), weights.norm_1, _LAYER_NORM_EPS, unowned_view(normalized))
    int8_linear(normalized, weights.in_proj, NONE, flat[:0], flat)
    paged_attention(qkv, layer, batch, attended, scores)
    int8_linear(attended.reshape((positions, heads * dim)), weights.out_proj, NONE, x, residual)
    layer_norm(unowned_view(residual), weights.norm_2, _LAYER_NORM_EPS, unowned_view(normalized))
    int8_linear(normalized, weights.up, GELU, hidden[:0], hidden)
    int8_linear(hidden, weights.down, NONE, residual, y)


class TransformerBlockKernel:
    """Calls `transformer_block`."""

    def __init__(self, weights: TransformerWeights) -> None:
        self._weights = weights

    def __call__(self, x: Tensor, metadata: AttentionMetadata, layer: int) -> Tensor:
        """Map `[..., width]` of all positions of a pass."""
        flat = x.reshape(-1, x.shape[-1]).contiguous()
        y = torch.empty_like(flat)
        with metadata.captured_scores(layer, self._weights.heads) as scores:
            transformer_block(flat.numpy(), layer, metadata.batch, self._weights, scores, y.numpy())
        return y.view(x.shape)


@compiled(void(_matrix, float32[:, :], ADALN_WEIGHTS, _matrix))
def adaln_block(x: Any, modulation: Any, weights: Any, y: Any) -> None:
    """`x` to `y`, `[rows, width]`; `modulation` `[rows, 3 * width]` holds each row's shift, scale and gate."""
    width = weights.norm.gain.size
    normalized, hidden = np.empty_like(x), np.empty_like(x)
    layer_norm(unowned_view(x), weights.norm, _ADALN_EPS, unowned_view(normalized))
    for row in range(len(x)):
        values, parameters = normalized[row], modulation[row]
        for i in range(width):
            values[i] = parameters[i] + values[i] * (parameters[width + i] + ONE)
    int8_linear(normalized, weights.linear_1, SILU, normalized[:0], hidden)
    int8_linear(hidden, weights.linear_2, NONE, normalized[:0], y)
    for row in range(len(x)):
        values, target, parameters = x[row], y[row], modulation[row]
        for i in range(width):
            target[i] = values[i] + parameters[2 * width + i] * target[i]


class AdaLNBlockKernel:
    """Calls `adaln_block`."""

    def __init__(self, weights: AdaLNWeights) -> None:
        self._weights = weights

    def __call__(self, x: Tensor, modulation: Tensor) -> Tensor:
        """Map `[rows, width]`, with modulation `[rows, 3 * width]`."""
        y = torch.empty_like(x)
        adaln_block(x.numpy(), modulation.numpy(), self._weights, y.numpy())
        return y


@compiled(void(_tensor, _table, _table, int64, _matrix))
def conv_chain(x: Any, convolutions: Any, states: Any, max_numbers: Any, y: Any) -> None:
    """Convolutions one after the other: `x` `[rows, time, channels]` to `y` `[rows, numbers]`, row by row.

    `convolutions` as `ConvChainKernel` makes it; `states` `[convolutions, 2]`: address and stride of the rows' states;
    no convolution puts out more than `max_numbers` per row.
    """
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
                nr,
            ) = convolutions[index]
            time, reach = current.size // channels, (taps - 1) * dilation
            is_last = index == len(convolutions) - 1
            out = y[row] if is_last else buffers[index % 3, : time * outputs]
            out_matrix = out.reshape((time, outputs))
            conv = Int8Conv(
                carray(pointer(panels_address), (panels, panel), np.int8),
                carray(pointer(epilogue_address), (panels, 3, nr), np.float32),
                taps, dilation, elu, NONE,
            )  # fmt: skip
            int8_conv(
                conv,
                carray(pointer(states[index, 0] + row * states[index, 1]), (1, reach, channels), np.float32),
                current.reshape((1, time, channels)),
                previous.reshape((time, outputs)) if adds_input else out_matrix[:0],
                out_matrix,
            )
            previous, current = current, out


class ConvChainKernel:
    """Calls `conv_chain`: each row passes all convolutions while its intermediates are in a core's caches.

    The flag of each convolution: add the previous convolution's input to the output.
    """

    def __init__(self, convolutions: Sequence[tuple[Int8Convolution, bool]]) -> None:
        self._convolutions = [each for each, _ in convolutions]  # own the memory of the addresses below
        self._table = np.array([
            [each.conv.taps, each.conv.dilation, each.conv.apply_elu, each.channels, each.outputs, adds_input,
             each.conv.panels.ctypes.data, *each.conv.panels.shape, each.conv.epilogue.ctypes.data,
             each.conv.epilogue.shape[2]]
            for each, adds_input in convolutions
        ], np.int64)  # fmt: skip

    def __call__(self, x: Tensor, states: Sequence[Tensor]) -> Tensor:
        """Map `x` `[rows, time, channels]` to `[rows, numbers]`; updates the states `[rows, reach, channels]`."""
        sizes = [x.shape[1] * x.shape[2]]
        for each in self._convolutions:
            sizes.append(sizes[-1] // each.channels * each.outputs)
        y = torch.empty(len(x), sizes[-1])
        table = np.array([[state.data_ptr(), state.stride(0) * state.element_size()] for state in states], np.int64)
        conv_chain(x.numpy(), self._table, table, max(sizes), y.numpy())
        return y

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
from sayline_tts.engine.kernels.int8_gemm import GELU, NONE, SILU, Weights, convolve
from sayline_tts.engine.kernels.jit import ONE, ZERO, array, bare, compiled, pointer
from sayline_tts.engine.kernels.ops import Int8Convolution

EPSILON = np.float32(1e-5)
HEAD_EPSILON = np.float32(1e-6)

_numbers, _rows, _batch, _bytes = float32[::1], float32[:, ::1], float32[:, :, ::1], int8[:, ::1]
_weights, _of_rows, _of_parts = (_bytes, _batch), int64[::1], int64[:, ::1]


@compiled(inline="always")
def _normalize(x: Any, gain: Any, bias: Any, epsilon: Any, y: Any) -> None:
    """Layer norm of `x` `[positions, width]`."""
    share = ONE / np.float32(gain.size)
    for position in range(len(x)):
        numbers, into, total, squares = x[position], y[position], ZERO, ZERO
        for i in range(gain.size):
            total += numbers[i]
        mean = total * share
        for i in range(gain.size):
            squares += (numbers[i] - mean) * (numbers[i] - mean)
        scale = ONE / np.sqrt(squares * share + epsilon)
        for i in range(gain.size):
            into[i] = (numbers[i] - mean) * scale * gain[i] + bias[i]


@compiled(inline="always")
def _multiply(x: Any, panels: Any, constants: Any, activation: Any, residual: Any, y: Any) -> None:
    """`x` `[positions, in]` to `y` `[positions, out]`, activated, plus the residual, if it is not of no positions."""
    before = np.empty((1, 0, x.shape[1]), np.float32)
    behind = x.reshape((1, x.shape[0], x.shape[1]))
    convolve(before, behind, False, 1, 1, panels, constants, activation, residual, y)


@compiled(
    void(
        _rows, _rows, int64, _rows, *[_of_parts] * 5, _of_rows, _of_rows, uint16[::1], _batch,
        *[_numbers] * 4, *_weights * 4, int64, int64,
    )
)  # fmt: skip
def _transform(x: Any, y: Any, layer: Any, rotation: Any, keys: Any, values: Any, counts: Any, layer_steps: Any,
               head_steps: Any, lengths: Any, free: Any, kind: Any, scores: Any, gain: Any, bias: Any, next_gain: Any,
               next_bias: Any, in_panels: Any, in_constants: Any, out_panels: Any, out_constants: Any,
               wide_panels: Any, wide_constants: Any, back_panels: Any, back_constants: Any, heads: Any,
               kv_heads: Any) -> None:  # fmt: skip
    """`x` to `y`, `[positions, width]`; what attention takes is explained there."""
    positions, dim = len(x), rotation.shape[1]
    normal = np.empty_like(x)
    projected = np.empty((positions, heads + 2 * kv_heads, dim), np.float32)
    heard = np.empty((positions, heads, dim), np.float32)
    within = np.empty_like(x)
    widened = np.empty((positions, back_panels.shape[1] // back_constants.shape[2]), np.float32)
    flat = projected.reshape((positions, (heads + 2 * kv_heads) * dim))
    _normalize(bare(x), gain, bias, EPSILON, bare(normal))
    _multiply(normal, in_panels, in_constants, NONE, flat[:0], flat)
    attention.attend(projected, rotation, layer, keys, values, counts, layer_steps, head_steps, lengths, free, kind,
                     heard, scores)  # fmt: skip
    _multiply(heard.reshape((positions, heads * dim)), out_panels, out_constants, NONE, x, within)
    _normalize(bare(within), next_gain, next_bias, EPSILON, bare(normal))
    _multiply(normal, wide_panels, wide_constants, GELU, widened[:0], widened)
    _multiply(widened, back_panels, back_constants, NONE, within, y)


class TransformerLoop:
    """`norms`: gain and bias of both. `products`: into attention and out of it, wide and back."""

    def __init__(self, norms: tuple[np.ndarray, ...], products: tuple[Weights, ...], heads: int, kv_heads: int) -> None:
        self._known: tuple[Any, ...] = *norms, *(part for weights in products for part in weights), heads, kv_heads
        self._heads = heads

    def __call__(self, x: Tensor, span: attention.Span, layer: int) -> Tensor:
        """Vectors `[..., width]` of the positions of a pass."""
        flat = x.reshape(-1, x.shape[-1]).contiguous()
        y = torch.empty_like(flat)
        with span.watched(layer, self._heads) as scores:
            _transform(
                flat.numpy(), y.numpy(), layer, span.rotation, *span.parts, span.lengths, span.free, span.kind, scores,
                *self._known,
            )  # fmt: skip
        return y.view(x.shape)


@compiled(void(_rows, float32[:, :], _rows, _numbers, _numbers, *_weights * 2))
def _refine(x: Any, modulation: Any, y: Any, gain: Any, bias: Any, panels: Any, constants: Any, next_panels: Any,
            next_constants: Any) -> None:  # fmt: skip
    """`x` to `y`, `[rows, width]`, as `modulation` `[rows, 3 * width]` says: shift, scale and gate of each."""
    width = gain.size
    normal, within = np.empty_like(x), np.empty_like(x)
    _normalize(bare(x), gain, bias, HEAD_EPSILON, bare(normal))
    for row in range(len(x)):
        numbers, by = normal[row], modulation[row]
        for i in range(width):
            numbers[i] = by[i] + numbers[i] * (by[width + i] + ONE)
    _multiply(normal, panels, constants, SILU, normal[:0], within)
    _multiply(within, next_panels, next_constants, NONE, normal[:0], y)
    for row in range(len(x)):
        numbers, into, by = x[row], y[row], modulation[row]
        for i in range(width):
            into[i] = numbers[i] + by[2 * width + i] * into[i]


class HeadLoop:
    """`norm`: gain and bias. `products`: both layers."""

    def __init__(self, norm: tuple[np.ndarray, ...], products: tuple[Weights, ...]) -> None:
        self._known: tuple[Any, ...] = *norm, *(part for weights in products for part in weights)

    def __call__(self, x: Tensor, modulation: Tensor) -> Tensor:
        """`[rows, width]` and `[rows, 3 * width]`."""
        y = torch.empty_like(x)
        _refine(x.numpy(), modulation.numpy(), y.numpy(), *self._known)
        return y


@compiled(void(_batch, _of_parts, _of_parts, int64, _rows))
def _chain(x: Any, convolutions: Any, tails: Any, most: Any, y: Any) -> None:
    """`x` `[rows, time, channels]` to `y` `[rows, numbers]`, where a convolution has no more than `most` of them."""
    between = np.empty((3, most), np.float32)
    for row in range(len(x)):
        before = seen = x[row].ravel()
        for place in range(len(convolutions)):
            (taps, dilation, elu, channels, outputs, onto, panels_at, panels, panel, constants_at, width) = (
                convolutions[place]
            )
            time, reach = seen.size // channels, (taps - 1) * dilation
            last = place == len(convolutions) - 1
            heard = y[row] if last else between[place % 3, : time * outputs]
            into = heard.reshape((time, outputs))
            convolve(
                array(pointer(tails[place, 0] + row * tails[place, 1]), (1, reach, channels), np.float32),
                seen.reshape((1, time, channels)), elu == 1, taps, dilation,
                array(pointer(panels_at), (panels, panel), np.int8),
                array(pointer(constants_at), (panels, 3, width), np.float32), NONE,
                before.reshape((time, outputs)) if onto else into[:0], into,
            )  # fmt: skip
            before, seen = seen, heard


class ChainLoop:
    """Convolutions one after the other, a row at a time: what is between them stays in the caches of a core. With each:
    is what came into the one before it added?
    """

    def __init__(self, convolutions: Sequence[tuple[Int8Convolution, bool]]) -> None:
        self._convolutions = [each for each, _ in convolutions]  # own what is addressed here
        self._facts = np.array([
            [each.taps, each.dilation, each.elu, each.channels, each.outputs, onto,
             panels.ctypes.data, *panels.shape, constants.ctypes.data, constants.shape[2]]
            for each, onto in convolutions for panels, constants in [each.weights]
        ], np.int64)  # fmt: skip

    def __call__(self, x: Tensor, tails: Sequence[Tensor]) -> Tensor:
        """`x` `[rows, time, channels]` behind the tails of all, `[rows, reach, channels]` each, which go on; what comes
        out, `[rows, numbers]`.
        """
        sizes = [x.shape[1] * x.shape[2]]
        for each in self._convolutions:
            sizes.append(sizes[-1] // each.channels * each.outputs)
        y = torch.empty(len(x), sizes[-1])
        places = np.array([[tail.data_ptr(), tail.stride(0) * tail.element_size()] for tail in tails], np.int64)
        _chain(x.numpy(), self._facts, places, max(sizes), y.numpy())
        return y

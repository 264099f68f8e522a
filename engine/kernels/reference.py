"""Every kernel in plain NumPy: what the compiled ones are tested against, and the shortest description of each.

Arrays are float32 unless stated otherwise; results are computed in float64 where the kernels' order of sums differs.
"""

from dataclasses import dataclass

import numpy as np

from sayline_tts.engine.kernels.ops import ADALN_EPS, LAYER_NORM_EPS

Array = np.ndarray
MIN_SCALE = np.float32(1e-12)


def quantize_rows(x: Array) -> tuple[Array, Array, Array]:
    """Rows `[rows, inputs]` to levels 0..255 of their own ranges: `q_x`, `scale_x` `[rows]`, zero points `min_x`."""
    x = x.astype(np.float32)
    low, high = x.min(axis=1), x.max(axis=1)
    scale_x = np.maximum((high - low) / np.float32(255), MIN_SCALE)
    min_x = np.floor(low / scale_x + np.float32(0.5)) * scale_x  # zero is a level
    q_x = (x - min_x[:, None]) * (1 / scale_x)[:, None] + np.float32(0.5)
    return np.clip(np.trunc(q_x), 0, 255).astype(np.int64), scale_x, min_x


def quantize_weights(weights: Array, max_weight: float) -> tuple[Array, Array]:
    """Weights `[out, in]` to signed levels, symmetric, one scale per output: `q_w`, `scale_w` `[out]`."""
    scale_w = np.maximum(np.abs(weights).max(axis=1) / np.float32(max_weight), MIN_SCALE)
    q_w = np.floor(weights * (1 / scale_w)[:, None] + np.float32(0.5))
    return q_w.astype(np.int64), scale_w


def microkernel(q_x: Array, q_w: Array, scale_x: Array, min_x: Array, epilogue: Array) -> Array:
    """y = s_x s_w sum(q_x q_w) + m_x s_w sum(q_w) + b; `epilogue` `[3, out]` holds s_w, s_w sum(q_w) and b."""
    scale_w, scaled_sum_w, bias = epilogue.astype(np.float64)
    y: Array = scale_x[:, None] * scale_w * (q_x.astype(np.int64) @ q_w.astype(np.int64).T)
    result: Array = y + min_x[:, None] * scaled_sum_w + bias
    return result


def int8_gemm(x: Array, weights: Array, bias: Array | float, max_weight: float) -> Array:
    """x w^T + b of rows `[rows, in]` and weights `[out, in]`, both quantized."""
    q_x, scale_x, min_x = quantize_rows(x)
    q_w, scale_w = quantize_weights(weights, max_weight)
    epilogue = np.stack([scale_w, scale_w * q_w.sum(axis=1), np.broadcast_to(bias, scale_w.shape)])
    return microkernel(q_x, q_w, scale_x, min_x, epilogue)


def concat_state(state: Array, x: Array, apply_elu: bool) -> tuple[Array, Array]:
    """State `[rows, reach, channels]`, then `x` `[rows, time, channels]`; and the new state."""
    y = np.concatenate([state, elu(x) if apply_elu else x], axis=1)
    return y, y[:, x.shape[1] :]


def windows(x: Array, taps: int, dilation: int) -> Array:
    """Inputs of each output of a convolution over `[rows, time, channels]`: `[rows, outputs, taps * channels]`."""
    time = x.shape[1] - (taps - 1) * dilation
    return np.concatenate([x[:, tap * dilation : tap * dilation + time] for tap in range(taps)], axis=2)


def conv_to_mono(x: Array, weights: Array, bias: float) -> Array:
    """A convolution to one channel: `[rows, time, channels]` to `[rows, outputs]`; weights tap by tap."""
    taps = len(weights) // x.shape[2]
    y: Array = windows(x.astype(np.float64), taps, 1) @ weights + bias
    return y


def elu(x: Array) -> Array:
    return np.where(x > 0, x, np.expm1(np.minimum(x, 0).astype(np.float64))).astype(np.float32)


def gelu(x: Array) -> Array:
    """The tanh approximation (Hendrycks and Gimpel 2016, arXiv:1606.08415)."""
    x = x.astype(np.float64)
    y: Array = 0.5 * x * (1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3)))
    return y


def silu(x: Array) -> Array:
    with np.errstate(over="ignore"):
        y: Array = x.astype(np.float64) / (1 + np.exp(-x.astype(np.float64)))
    return y


def softmax(scores: Array) -> Array:
    """Over the last axis; minus infinity where masked."""
    weights = np.exp(scores - scores.max(axis=-1, keepdims=True))
    result: Array = weights / weights.sum(axis=-1, keepdims=True)
    return result


def rope(x: Array, positions: Array, max_period: float) -> Array:
    """Rotate neighbouring pairs of `[positions, heads, head_dim]` by their positions' angles."""
    dim = x.shape[-1]
    angles = positions[:, None, None] * max_period ** (-2 / dim * np.arange(dim // 2))
    pairs = x[..., ::2] + 1j * x[..., 1::2]
    rotated = pairs * np.exp(1j * angles)
    return np.stack([rotated.real, rotated.imag], axis=-1).reshape(x.shape)


@dataclass(frozen=True)
class Cache:
    """Keys and values of one head as the kernels see them: blocks `[positions, head_dim]`, the oldest first."""

    keys: list[Array]
    values: list[Array]


def decode_attention(query: Array, cache: Cache) -> Array:
    """One scaled query `[head_dim]` over all positions: `[head_dim]`."""
    weights = softmax(np.concatenate(cache.keys).astype(np.float64) @ query)
    y: Array = weights @ np.concatenate(cache.values)
    return y


def prefill_attention(queries: Array, cache: Cache, context: int | None) -> Array:
    """Scaled queries `[length, head_dim]` of the newest positions, causal, with `context` positions at most."""
    keys, values = np.concatenate(cache.keys), np.concatenate(cache.values)
    age = np.arange(len(keys) - len(queries), len(keys))[:, None] - np.arange(len(keys))
    visible = (age >= 0) & (age < (context or len(keys)))
    y: Array = softmax(np.where(visible, queries.astype(np.float64) @ keys.T, -np.inf)) @ values
    return y


def ring_blocks(ring: Array, position: int, visible: int) -> list[Array]:
    """The last `visible` positions of a ring `[size, head_dim]` whose next position is `position`, as two blocks."""
    first = (position - visible) % len(ring)
    older = ring[first : first + visible]
    return [older, ring[: visible - len(older)]]


def layer_norm(x: Array, gain: Array, bias: Array, epsilon: float) -> Array:
    x = x.astype(np.float64)
    centered = x - x.mean(axis=-1, keepdims=True)
    y: Array = centered / np.sqrt((centered**2).mean(axis=-1, keepdims=True) + epsilon) * gain + bias
    return y


def conv_chain(x: Array, convolutions: list["Conv"], states: list[Array], max_weight: float) -> Array:
    """Int8 convolutions one after the other over `[rows, time, channels]`."""
    previous = x
    for conv, state in zip(convolutions, states, strict=True):
        y = int8_conv(x, conv, state, max_weight)
        x, previous = (y + previous if conv.adds_input else y), x
    return x


@dataclass(frozen=True)
class Conv:
    """A convolution: weights `[out, taps * in]`, tap by tap."""

    weights: Array
    bias: Array
    taps: int
    dilation: int
    apply_elu: bool
    adds_input: bool = False  # adds the input of the convolution before


def int8_conv(x: Array, conv: Conv, state: Array, max_weight: float) -> Array:
    """`[rows, time, in]` behind its state to `[rows, time, out]`; each output's window is quantized on its own."""
    seen = windows(concat_state(state, x, conv.apply_elu)[0], conv.taps, conv.dilation)
    y = int8_gemm(seen.reshape(-1, seen.shape[2]), conv.weights, conv.bias, max_weight)
    return y.reshape(*x.shape[:2], -1)


def adaln_block(x: Array, modulation: Array, norm: tuple[Array, Array], weights: tuple[Array, Array, Array, Array],
                max_weight: float) -> Array:  # fmt: skip
    """Residual block `[rows, width]`; `modulation` `[rows, 3 * width]`; weights and biases of two layers."""
    shift, scale, gate = np.split(modulation, 3, axis=1)
    w_1, b_1, w_2, b_2 = weights
    y = shift + layer_norm(x, *norm, ADALN_EPS) * (1 + scale)
    y = int8_gemm(silu(int8_gemm(y, w_1, b_1, max_weight)), w_2, b_2, max_weight)
    result: Array = x + gate * y
    return result


@dataclass(frozen=True)
class Block:
    """A transformer block: gains and biases of its norms, weights without biases."""

    norm_1: tuple[Array, Array]
    norm_2: tuple[Array, Array]
    in_proj: Array
    out_proj: Array
    up: Array
    down: Array
    heads: int
    kv_heads: int
    max_period: float


def transformer_block(x: Array, block: Block, max_weight: float) -> Array:
    """One sequence from its beginning, `[positions, width]`, with bfloat16 keys and values."""
    dim = block.out_proj.shape[1] // block.heads
    gemm = int8_gemm(layer_norm(x, *block.norm_1, LAYER_NORM_EPS), block.in_proj, 0.0, max_weight)
    qkv = gemm.reshape(len(x), -1, dim)
    turned = block.heads + block.kv_heads
    qk = rope(qkv[:, :turned], np.arange(len(x)), block.max_period)
    group = block.heads // block.kv_heads
    out = []
    for head in range(block.heads):
        keys, values = qk[:, block.heads + head // group], qkv[:, turned + head // group]
        cache = Cache([bfloat16(keys)], [bfloat16(values)])
        out.append(prefill_attention(qk[:, head], cache, None))
    x = x + int8_gemm(np.concatenate(out, axis=1), block.out_proj, 0.0, max_weight)
    hidden = gelu(int8_gemm(layer_norm(x, *block.norm_2, LAYER_NORM_EPS), block.up, 0.0, max_weight))
    result: Array = x + int8_gemm(hidden, block.down, 0.0, max_weight)
    return result


def bfloat16(x: Array) -> Array:
    """Round to the nearest bfloat16, ties to even."""
    bits = x.astype(np.float32).view(np.uint32)
    rounded = (bits + np.uint32(0x7FFF) + ((bits >> np.uint32(16)) & np.uint32(1))) & np.uint32(0xFFFF0000)
    return rounded.view(np.float32)

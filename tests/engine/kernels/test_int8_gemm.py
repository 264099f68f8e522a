"""engine/kernels/int8_gemm.py: packed weights, and products against what they stand for in numpy."""

import numpy as np
import pytest

from sayline_tts.engine.kernels import int8_gemm
from sayline_tts.engine.kernels.int8_gemm import GELU, NONE, SILU
from sayline_tts.engine.kernels.int8_microkernel import ACTIVE_ISA


def some(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape, np.float32)


def elu(x: np.ndarray) -> np.ndarray:
    return np.where(x > 0, x, np.expm1(np.minimum(x, 0).astype(np.float64))).astype(np.float32)


def tail_of(rows: int, reach: int, channels: int) -> np.ndarray:
    """One that lies among other numbers, as the codec's do."""
    return some(rows, 5 + reach * channels, seed=8)[:, 5:].reshape(rows, reach, channels)


def product(
    x: np.ndarray, weights: np.ndarray, bias: np.ndarray | None = None, activation: int = NONE,
    residual: np.ndarray | None = None, state: np.ndarray | None = None, dilation: int = 1, apply_elu: bool = False,
) -> np.ndarray:  # fmt: skip
    """`x` `[rows, time, channels]`, weights `[out, taps * channels]`: `[rows * time, out]`."""
    rows, time, channels = x.shape
    state = np.empty((rows, 0, channels), np.float32) if state is None else state
    y = np.full((rows * time, len(weights)), np.nan, np.float32)
    taps = weights.shape[1] // channels
    onto = y[:0] if residual is None else residual
    packed = int8_gemm.pack(weights, bias)
    int8_gemm.convolve(state, x, apply_elu, taps, dilation, *packed, activation, onto, y)
    return y


def in_levels(seen: np.ndarray) -> np.ndarray:
    """What each output `[outputs, inputs]` sees, as its 256 levels tell it."""
    least, most = seen.min(axis=1, keepdims=True), seen.max(axis=1, keepdims=True)
    scale = np.maximum((most - least) / 255, 1e-12)
    least = np.floor(least / scale + 0.5) * scale
    told: np.ndarray = np.clip(np.floor((seen - least) / scale + 0.5), 0, 255) * scale + least
    return told


def weights_in_levels(weights: np.ndarray) -> np.ndarray:
    scale = np.maximum(np.abs(weights).max(axis=1, keepdims=True) / ACTIVE_ISA.max_weight, 1e-12)
    told: np.ndarray = np.floor(weights / scale + 0.5) * scale
    return told


@pytest.mark.parametrize("outputs", [16, int8_gemm.NR // 2, int8_gemm.NR + 1])
def test_weights_use_all_their_levels_and_keep_their_signs(outputs: int) -> None:
    """Read back out of their panels."""
    weights = some(outputs, 33) * np.logspace(-6, 6, outputs, dtype=np.float32)[:, None]
    weights[3] = 0
    bias = some(outputs, seed=1)
    panels, constants = int8_gemm.pack(weights, bias)
    width = constants.shape[2]
    whole = panels.reshape(len(panels), -1, width, 4).transpose(0, 2, 1, 3).reshape(-1, 36)
    levels, of_outputs = whole[:outputs, :33].astype(np.float64), constants.transpose(1, 0, 2).reshape(3, -1)
    scales, sums = of_outputs[0, :outputs], of_outputs[1, :outputs]
    greatest = np.abs(levels).max(axis=1)
    assert greatest[3] == 0
    assert set(np.delete(greatest, 3)) == {ACTIVE_ISA.max_weight}
    assert (np.abs(levels * scales[:, None] - weights) <= 0.501 * scales[:, None]).all()
    np.testing.assert_allclose(sums, (levels * scales[:, None]).sum(axis=1), rtol=1e-5, atol=1e-9)
    np.testing.assert_array_equal(of_outputs[2, :outputs], bias)
    assert not whole[:, 33:].any()
    assert not whole[outputs:].any()
    assert panels.ctypes.data % 64 == 0


SHAPES = [  # taps, dilation, time, channels, outputs
    (1, 1, 11, 17, 16),
    (3, 1, 11, 17, 40),
    (3, 2, 11, 17, 70),
    (2, 4, 11, 20, 64),
    (3, 2, 1, 17, 33),
    (2, 1, 1030, 16, 32),
    (7, 1, 9, 3000, 20),
    (1, 1, 150, 24, 130),
]


@pytest.mark.parametrize(("taps", "dilation", "time", "channels", "outputs"), SHAPES, ids=str)
@pytest.mark.parametrize("apply_elu", [False, True])
def test_an_output_is_of_what_it_sees_in_levels_of_its_own(
    taps: int, dilation: int, time: int, channels: int, outputs: int, apply_elu: bool
) -> None:
    """Whether all of a row fits into a block, or less of it than the taps reach; in panels that are full, and not."""
    x = some(2, time, channels) * np.logspace(-3, 3, time, dtype=np.float32)[:, None]
    weights, bias = some(outputs, taps * channels, seed=1), some(outputs, seed=2)
    residual, reach = some(2 * time, outputs, seed=3), (taps - 1) * dilation
    state = tail_of(2, reach, channels)
    whole = np.concatenate([state, elu(x) if apply_elu else x], axis=1)
    found = product(x, weights, bias, NONE, residual, state, dilation, apply_elu)
    seen = np.stack([whole[:, at : at + reach + 1 : dilation].reshape(2, -1) for at in range(time)], axis=1)
    seen = seen.reshape(2 * time, -1).astype(np.float64)
    expected = in_levels(seen) @ weights_in_levels(weights).T + bias + residual
    step = (np.ptp(seen, axis=1) / 255)[:, None] * np.abs(weights).max()
    error = np.abs(found - expected)
    assert (error <= 1e-4 * (1 + np.abs(expected)) + 3.5 * step).all()  # of thousands a few are rounded the other way
    assert np.median(error / (1e-5 * (1 + np.abs(expected)) + 1e-3 * step)) < 1
    np.testing.assert_allclose(state, whole[:, time:], atol=2e-7, rtol=1e-6)


@pytest.mark.parametrize("activation", [GELU, SILU])
def test_what_comes_out_is_activated(activation: int) -> None:
    x, weights, bias = some(1, 5, 33), some(40, 33, seed=1) / 3, some(40, seed=2)
    bare = product(x, weights, bias).astype(np.float64)
    inner = np.sqrt(2 / np.pi) * (bare + 0.044715 * bare**3)
    expected = 0.5 * bare * (1 + np.tanh(inner)) if activation == GELU else bare / (1 + np.exp(-bare))
    np.testing.assert_allclose(product(x, weights, bias, activation), expected, atol=2e-6, rtol=2e-6)


@pytest.mark.parametrize("activation", [GELU, SILU])
def test_activations_of_huge_numbers_are_finite(activation: int) -> None:
    bias = np.array([-1e30, -1e4, -100.0, 100.0, 1e4] * 4, np.float32)
    found = product(np.zeros((1, 1, 16), np.float32), np.zeros((20, 16), np.float32), bias, activation)
    np.testing.assert_allclose(found[0], np.maximum(bias, 0), atol=1e-3)


@pytest.mark.parametrize("x", [[5.0] * 16, [-5.0] * 16, [0.0] * 15 + [-1e6], [0.0] * 15 + [1e-9], [1e6] + [-1.0] * 15])
def test_zero_is_a_level_and_the_range_is_used(x: list[float]) -> None:
    """By weights that pass each number on."""
    numbers = np.array([[x]], np.float32)
    found = product(numbers, np.eye(16, dtype=np.float32))[0]
    attention_metadata = float(numbers.max() - numbers.min())
    np.testing.assert_allclose(found, x, atol=attention_metadata / 255 * 0.51 + 1e-6 * np.abs(numbers).max() + 1e-11)
    if attention_metadata:
        assert not found[numbers[0, 0] == 0].any()

"""Int8 convolutions and linear layers against NumPy."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sayline_tts.engine.kernels import int8_gemm, reference
from sayline_tts.engine.kernels.int8_gemm import GELU, M_BLOCK, NONE, SILU
from sayline_tts.engine.kernels.jit import ACTIVE_ISA
from tests.engine.kernels.arrays import some, strided_state


def convolved(
    x: np.ndarray, conv: reference.Conv, state: np.ndarray | None = None, activation: int = NONE,
    residual: np.ndarray | None = None,
) -> np.ndarray:  # fmt: skip
    """`[rows, time, channels]` to `[rows * time, out]`."""
    rows, time, channels = x.shape
    state = np.empty((rows, 0, channels), np.float32) if state is None else state
    y = np.full((rows * time, len(conv.weights)), np.nan, np.float32)
    packed = int8_gemm.pack(conv.weights, conv.bias)
    kernel = int8_gemm.Int8Conv(*packed, conv.taps, conv.dilation, int(conv.apply_elu), activation)
    int8_gemm.int8_conv(kernel, state, x, y[:0] if residual is None else residual, y)
    return y


def linear(weights: np.ndarray, bias: np.ndarray | None = None) -> reference.Conv:
    return reference.Conv(weights, np.zeros(len(weights), np.float32) if bias is None else bias, 1, 1, False)


def assert_quantized_alike(found: np.ndarray, expected: np.ndarray, seen: np.ndarray, weights: np.ndarray) -> None:
    """Equal, but for levels that rounding ties put on either side: a few of thousands."""
    step = (np.ptp(seen, axis=-1) / 255)[:, None] * np.abs(weights).max()
    error = np.abs(found - expected)
    assert (error <= 1e-4 * (1 + np.abs(expected)) + 3.5 * step).all()
    assert np.median(error / (1e-5 * (1 + np.abs(expected)) + 1e-3 * step)) < 1


SHAPES = [  # taps, dilation, time, channels, outputs: blocks that hold a row, and less than the taps reach; full panels
    (1, 1, 11, 17, 16),
    (3, 1, 11, 17, 40),
    (3, 2, 11, 17, 70),
    (2, 4, 11, 20, 64),
    (3, 2, 1, 17, 33),
    (2, 1, 1030, 16, 32),
    (7, 1, 9, 3000, 20),
    (1, 1, 150, 24, 130),
]


def check(taps: int, dilation: int, time: int, channels: int, outputs: int, apply_elu: bool, magnitude: int) -> None:
    spread = np.logspace(-magnitude, magnitude, time, dtype=np.float32)[:, None]
    x = some(2, time, channels) * spread
    conv = reference.Conv(some(outputs, taps * channels, seed=1), some(outputs, seed=2), taps, dilation, apply_elu)
    residual, state = some(2 * time, outputs, seed=3), strided_state(2, (taps - 1) * dilation, channels)
    joined, new_state = reference.concat_state(state.copy(), x, apply_elu)
    expected = reference.int8_conv(x, conv, state.copy(), ACTIVE_ISA.max_weight).reshape(2 * time, -1) + residual
    seen = reference.windows(joined, taps, dilation).reshape(2 * time, -1)
    assert_quantized_alike(convolved(x, conv, state, NONE, residual), expected, seen, conv.weights)
    np.testing.assert_allclose(state, new_state, atol=2e-7, rtol=1e-6)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("apply_elu", [False, True])
def test_convolution_quantizes_each_output_on_its_own(shape: tuple[int, int, int, int, int], apply_elu: bool) -> None:
    check(*shape, apply_elu, 3)


@settings(max_examples=40, deadline=None)
@given(
    st.integers(1, 4), st.integers(1, 3), st.integers(1, M_BLOCK), st.integers(16, 70), st.integers(16, 140),
    st.booleans(), st.integers(0, 4),
)  # fmt: skip
def test_convolution_of_odd_sizes(
    taps: int, dilation: int, time: int, channels: int, outputs: int, apply_elu: bool, magnitude: int
) -> None:
    check(taps, dilation, time, channels, outputs, apply_elu, magnitude)


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 2 * M_BLOCK + 3), st.integers(1, 70), st.integers(1, 140))
def test_linear_layer_of_odd_sizes(rows: int, inputs: int, outputs: int) -> None:
    x, weights, bias = some(rows, inputs), some(outputs, inputs, seed=1), some(outputs, seed=2)
    expected = reference.int8_gemm(x, weights, bias, ACTIVE_ISA.max_weight)
    assert_quantized_alike(convolved(x[None], linear(weights, bias)), expected, x, weights)


@pytest.mark.parametrize("activation", [GELU, SILU])
def test_output_is_activated(activation: int) -> None:
    x, layer = some(1, 5, 33), linear(some(40, 33, seed=1) / 3, some(40, seed=2))
    expected = {GELU: reference.gelu, SILU: reference.silu}[activation](convolved(x, layer))
    np.testing.assert_allclose(convolved(x, layer, activation=activation), expected, atol=2e-6, rtol=2e-6)


@pytest.mark.parametrize("activation", [GELU, SILU])
def test_activations_of_huge_numbers_are_finite(activation: int) -> None:
    bias = np.array([-1e30, -1e4, -100.0, 100.0, 1e4] * 4, np.float32)
    layer = linear(np.zeros((20, 16), np.float32), bias)
    found = convolved(np.zeros((1, 1, 16), np.float32), layer, activation=activation)
    np.testing.assert_allclose(found[0], np.maximum(bias, 0), atol=1e-3)

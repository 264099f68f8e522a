"""engine/loops.py: each loop against what it stands for in numpy; that it is compiled wherever it is."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numba import float32, void
from numba.core.caching import CacheImpl

from engine import loops

FINITE = st.floats(-1e6, 1e6, width=32)


def some(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape, np.float32)


def levels_of(x: np.ndarray, taps: int, dilation: int = 1) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rows, time, channels = x.shape
    outputs = rows * (time - (taps - 1) * dilation)
    levels, scales = np.empty((outputs, taps * channels), np.uint8), np.empty(outputs, np.float32)
    lows = np.empty_like(scales)
    loops.windows(x, taps, dilation, levels, scales, lows)
    return levels, scales, lows


@pytest.mark.parametrize(("taps", "dilation"), [(1, 1), (3, 1), (3, 2), (2, 4)])
def test_a_window_holds_what_an_output_sees_tap_by_tap(taps: int, dilation: int) -> None:
    x = some(2, 11, 17) * np.logspace(-3, 3, 11, dtype=np.float32)[:, None]
    levels, scales, lows = levels_of(x, taps, dilation)
    reach = (taps - 1) * dilation
    seen = np.stack([x[:, at : at + reach + 1 : dilation].reshape(2, -1) for at in range(11 - reach)], axis=1)
    error = np.abs(levels * scales[:, None] + lows[:, None] - seen.reshape(len(levels), -1)) / scales[:, None]
    assert error.max() < 1.01  # at either end: zero is a level, so they may lie half of one beside theirs
    assert error[(levels > 0) & (levels < 255)].max() < 0.51


@settings(max_examples=100, deadline=None)
@given(st.lists(FINITE, min_size=1, max_size=40))
def test_zero_is_a_level_and_the_range_is_used(numbers: list[float]) -> None:
    x = np.array([[numbers]], np.float32)
    _, scales, lows = levels_of(x, 1)
    whole = lows[0] / scales[0]
    assert whole == pytest.approx(round(float(whole)), abs=1e-2)
    span = float(x.max() - x.min())
    assert scales[0] == pytest.approx(max(span / 255, 1e-12), rel=1e-5)


@pytest.mark.parametrize("activation", [loops.NONE, loops.GELU, loops.SILU])
def test_finishing_scales_adds_and_activates(activation: int) -> None:
    y, scales, lows, sums, bias = some(5, 33), some(5, seed=1), some(5, seed=2), some(33, seed=3), some(33, seed=4)
    expected = y.astype(np.float64) * scales[:, None] + lows[:, None] * sums + bias
    if activation == loops.GELU:
        inner = math.sqrt(2 / math.pi) * (expected + 0.044715 * expected**3)
        expected = 0.5 * expected * (1 + np.tanh(inner))
    elif activation == loops.SILU:
        expected = expected / (1 + np.exp(-expected))
    loops.finish(y, scales, lows, sums, bias, activation)
    np.testing.assert_allclose(y, expected, atol=2e-6, rtol=2e-6)


def test_activations_of_huge_numbers_are_finite() -> None:
    y = np.array([[-1e30, -1e4, -100.0, 100.0, 1e4]], np.float32)
    one, none = np.ones(1, np.float32), np.zeros(5, np.float32)
    for activation in (loops.GELU, loops.SILU):
        z = y.copy()
        loops.finish(z, one, none[:1], none, none, activation)
        np.testing.assert_allclose(z, np.maximum(y, 0), atol=1e-3)


def test_finishing_onto_adds_the_residual() -> None:
    y, residual = some(5, 33), some(5, 33, seed=9)
    scales, lows, sums, bias = some(5, seed=1), some(5, seed=2), some(33, seed=3), some(33, seed=4)
    expected = y * scales[:, None] + lows[:, None] * sums + bias + residual
    loops.finish_onto(y, scales, lows, sums, bias, residual)
    np.testing.assert_allclose(y, expected, atol=2e-6, rtol=2e-6)


@pytest.mark.parametrize("most", [127, 63])
def test_weights_use_all_their_levels_and_keep_their_signs(most: int) -> None:
    weights = some(7, 33) * np.logspace(-6, 6, 7, dtype=np.float32)[:, None]
    weights[3] = 0
    levels, scales, sums = np.empty((7, 33), np.int8), np.empty(7, np.float32), np.empty(7, np.float32)
    loops.quantize(weights, most, levels, scales, sums)
    assert np.abs(levels).max(axis=1).tolist() == [most, most, most, 0, most, most, most]
    assert (np.abs(levels * scales[:, None] - weights) <= 0.501 * scales[:, None]).all()
    np.testing.assert_allclose(sums, (levels.astype(np.float64) * scales[:, None]).sum(axis=1), rtol=1e-5)


def test_multiplying_levels_is_exact() -> None:
    rng = np.random.default_rng(0)
    levels = rng.integers(0, 256, (3, 1031), np.uint8)
    weights = rng.integers(-127, 128, (9, 1031), np.int8)
    y, scales = np.empty((3, 9), np.float32), np.ones(9, np.float32)
    loops.multiply(levels, weights, scales, y)
    np.testing.assert_array_equal(y, (levels.astype(np.int64) @ weights.T.astype(np.int64)).astype(np.float32))


def test_a_loop_is_compiled_where_nothing_may_be_written(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(CacheImpl, "_locator_classes", [])

    @loops.compiled(void(float32[::1]))
    def double(x: np.ndarray) -> None:
        for i in range(x.size):
            x[i] *= np.float32(2)

    numbers = np.arange(3, dtype=np.float32)
    double(numbers)
    assert numbers.tolist() == [0, 2, 4]

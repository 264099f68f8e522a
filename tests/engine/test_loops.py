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


def elu(x: np.ndarray) -> np.ndarray:
    return np.where(x > 0, x, np.expm1(np.minimum(x, 0).astype(np.float64))).astype(np.float32)


def tail_of(rows: int, reach: int, channels: int) -> np.ndarray:
    """One that lies among other numbers, as the codec's do."""
    return some(rows, 5 + reach * channels, seed=8)[:, 5:].reshape(rows, reach, channels)


def levels_of(
    x: np.ndarray, taps: int, dilation: int = 1, activated: bool = False, tail: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rows, time, channels = x.shape
    levels, scales = np.empty((rows * time, taps * channels), np.uint8), np.empty(rows * time, np.float32)
    lows = np.empty_like(scales)
    before = np.empty((rows, 0, channels), np.float32) if tail is None else tail
    loops.windows(before, x, activated, taps, dilation, levels, scales, lows)
    return levels, scales, lows


SHAPES = [
    (1, 1, 11, 17),
    (3, 1, 11, 17),
    (3, 2, 11, 17),
    (2, 4, 11, 17),
    (3, 2, 1, 17),
    (2, 1, 1030, 16),
    (7, 1, 9, 3000),
]


@pytest.mark.parametrize(("taps", "dilation", "time", "channels"), SHAPES, ids=str)
@pytest.mark.parametrize("activated", [False, True])
def test_a_window_holds_what_an_output_sees_tap_by_tap(
    taps: int, dilation: int, time: int, channels: int, activated: bool
) -> None:
    """Whether all of a row fits into a block, or less of it than the taps reach."""
    x = some(2, time, channels) * np.logspace(-3, 3, time, dtype=np.float32)[:, None]
    reach = (taps - 1) * dilation
    tail = tail_of(2, reach, channels)
    whole = np.concatenate([tail, elu(x) if activated else x], axis=1)
    levels, scales, lows = levels_of(x, taps, dilation, activated, tail)
    seen = np.stack([whole[:, at : at + reach + 1 : dilation].reshape(2, -1) for at in range(time)], axis=1)
    error = np.abs(levels * scales[:, None] + lows[:, None] - seen.reshape(len(levels), -1)) / scales[:, None]
    assert error.max() < 1.01  # at either end: zero is a level, so they may lie half of one beside theirs
    assert error[(levels > 0) & (levels < 255)].max() < 0.51
    np.testing.assert_allclose(tail, whole[:, time:], atol=2e-7, rtol=1e-6)


@pytest.mark.parametrize("activated", [False, True])
@pytest.mark.parametrize(("reach", "time"), [(0, 5), (3, 5), (5, 2)])
def test_what_is_joined_lies_behind_its_tail_which_becomes_the_end(activated: bool, reach: int, time: int) -> None:
    x, tail, whole = some(2, time, 17), tail_of(2, reach, 17), np.empty((2, reach + time, 17), np.float32)
    expected = np.concatenate([tail, elu(x) if activated else x], axis=1)
    loops.join(tail, x, activated, whole)
    np.testing.assert_allclose(whole, expected, atol=2e-7, rtol=1e-6)
    np.testing.assert_array_equal(tail, whole[:, time:])


@settings(max_examples=100, deadline=None)
@given(st.lists(FINITE, min_size=1, max_size=40))
def test_zero_is_a_level_and_the_range_is_used(numbers: list[float]) -> None:
    x = np.array([[numbers]], np.float32)
    _, scales, lows = levels_of(x, 1)
    whole = lows[0] / scales[0]
    assert whole == pytest.approx(round(float(whole)), abs=1e-2)
    span = float(x.max() - x.min())
    assert scales[0] == pytest.approx(max(span / 255, 1e-12), rel=1e-5)


@settings(max_examples=100, deadline=None)
@given(st.lists(FINITE, min_size=1, max_size=40))
def test_elu_is_that_of_numpy_however_large_its_numbers(numbers: list[float]) -> None:
    x = np.array([[numbers]], np.float32)
    whole = np.empty_like(x)
    loops.join(x[:, :0].copy(), x, True, whole)
    np.testing.assert_allclose(whole, elu(x), atol=2e-7, rtol=1e-6)


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

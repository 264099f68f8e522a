"""engine/kernels/simd.py: what registers hold is what plain numbers say, and nothing behind it is touched."""

from typing import Any

import numba
import numpy as np
import pytest

from sayline_tts.engine.kernels import simd
from sayline_tts.engine.kernels.simd import LANES, MASKED_SCORE, ROWS


def called(function: Any, *arguments: Any) -> None:
    """With the addresses of arrays."""
    names = [f"a{number}" for number in range(len(arguments))]
    namespace = {"function": function}
    exec(f"def call({', '.join(names)}):\n    function({', '.join(names)})\n", namespace)
    loop: Any = numba.njit(namespace["call"])
    loop(*(each.ctypes.data if isinstance(each, np.ndarray) else each for each in arguments))


def some(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape, np.float32)


def stored(numbers: np.ndarray, half: bool) -> tuple[np.ndarray, np.ndarray]:
    """As it lies in memory, bfloat16 if that is asked, and what that says."""
    if not half:
        return numbers, numbers
    words = (numbers.view(np.uint32) >> 16).astype(np.uint16)
    return words, (words.astype(np.uint32) << 16).view(np.float32)


@pytest.mark.parametrize("half", [True, False], ids=["bfloat16", "float32"])
@pytest.mark.parametrize("width", [1, 3, 4])
@pytest.mark.parametrize("count", [1, ROWS, 21])
def test_one_query_scores_keys_and_hears_values(count: int, width: int, half: bool) -> None:
    query, (keys, said) = some(width * LANES), stored(some(count, width * LANES, seed=1), half)
    scores = np.full(count + ROWS, np.nan, np.float32)
    called(simd.qk_scores_bfloat16 if half else simd.qk_scores_float32, query, width, keys, count, keys, scores)
    np.testing.assert_allclose(scores[:count], said @ query, rtol=1e-4, atol=1e-4)
    assert np.isnan(scores[-(-count // ROWS) * ROWS :]).all()

    side = 4 if width == 4 else 1
    hear = getattr(simd, f"hear_{'four_' if side == 4 else ''}{'bfloat16' if half else 'float32'}")
    heard = np.ones(side * LANES + 1, np.float32)
    weights, distance = some(count, seed=2), keys.itemsize * width * LANES
    called(hear, weights, keys, count, distance, keys, heard)
    np.testing.assert_allclose(heard[:-1], 1 + weights @ said[:, : side * LANES], rtol=1e-4, atol=1e-4)
    assert heard[-1] == 1


def test_scores_become_weights_each_query_among_what_it_sees() -> None:
    scores, begins, ends = some(40, LANES) * 30, np.arange(LANES, dtype=np.int32), np.arange(20, 36, dtype=np.int32)
    weights, sums = scores.copy(), np.empty(LANES, np.float32)
    called(simd.softmax, weights, len(weights), begins, ends, sums)
    for column in range(LANES):
        seen = slice(begins[column], ends[column])
        expected = np.exp(scores[seen, column] - scores[seen, column].max())
        np.testing.assert_allclose(weights[seen, column], expected, rtol=1e-5, atol=1e-30)
        np.testing.assert_allclose(sums[column], expected.sum(), rtol=1e-5)
        assert weights[: begins[column], column].sum() == weights[ends[column] :, column].sum() == 0


def test_the_weights_of_one_query_add_up() -> None:
    scores = some(3 * LANES) * 30
    scores[40:] = MASKED_SCORE
    weights, total = scores.copy(), np.empty(1, np.float32)
    called(simd.softmax_single, weights, 3, total)
    expected = np.exp(scores[:40] - scores[:40].max())
    np.testing.assert_allclose(weights[:40], expected, rtol=1e-5, atol=1e-30)
    np.testing.assert_allclose(total[0], expected.sum(), rtol=1e-5)


def test_pairs_turn() -> None:
    numbers, angles = some(2 * LANES), some(LANES, seed=1)
    turned, by = numbers.copy(), np.stack([np.cos(angles), np.sin(angles)], 1).ravel()
    called(simd.rope, turned, by, 2)
    expected = (numbers.view(np.complex64) * np.exp(1j * angles)).astype(np.complex64).view(np.float32)
    np.testing.assert_allclose(turned, expected, rtol=1e-5, atol=1e-6)


def test_elu_and_levels() -> None:
    numbers = np.concatenate([some(2 * LANES - 3) * 5, np.array([-200, 0, 200], np.float32)])
    activated = np.full(len(numbers) + 1, np.nan, np.float32)
    called(simd.elu, numbers, 2, activated)
    expected = np.where(numbers > 0, numbers, np.expm1(np.minimum(numbers, 0)))
    np.testing.assert_allclose(activated[:-1], expected, rtol=1e-5, atol=2e-7)
    assert np.isnan(activated[-1])

    levels, least, finer = (
        np.full(len(numbers) + 1, 77, np.uint8),
        np.array([-7], np.float32),
        np.array([20], np.float32),
    )
    clipped = np.clip(numbers, -7, 200)
    called(simd.quantize, clipped, 2, least, finer, levels)
    np.testing.assert_array_equal(levels[:-1], np.minimum((clipped + 7) * 20 + 0.5, 255).astype(np.uint8))
    assert levels[-1] == 77

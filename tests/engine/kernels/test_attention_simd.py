"""Vector kernels of attention against NumPy; nothing behind their outputs is written."""

import numpy as np
import pytest

from sayline_tts.engine.kernels import attention_simd, reference
from sayline_tts.engine.kernels.attention_simd import MASKED_SCORE, ROWS
from sayline_tts.engine.kernels.ir_builder import LANES
from tests.engine.kernels.arrays import called, some


def stored(numbers: np.ndarray, half: bool) -> tuple[np.ndarray, np.ndarray]:
    """As stored in memory, in bfloat16 if `half`, and the values of that."""
    if not half:
        return numbers, numbers
    words = (numbers.view(np.uint32) >> 16).astype(np.uint16)
    return words, (words.astype(np.uint32) << 16).view(np.float32)


@pytest.mark.parametrize("half", [True, False], ids=["bfloat16", "float32"])
@pytest.mark.parametrize("width", [1, 3, 4])
@pytest.mark.parametrize("count", [1, ROWS, 21])
def test_scores_and_weighted_sums_of_one_query(count: int, width: int, half: bool) -> None:
    query, (keys, values) = some(width * LANES), stored(some(count, width * LANES, seed=1), half)
    scores = np.full(count + ROWS, np.nan, np.float32)
    qk_scores = attention_simd.qk_scores_bfloat16 if half else attention_simd.qk_scores_float32
    called(qk_scores, query, width, keys, count, keys, scores)
    np.testing.assert_allclose(scores[:count], values @ query, rtol=1e-4, atol=1e-4)
    assert np.isnan(scores[-(-count // ROWS) * ROWS :]).all()

    unroll = 4 if width == 4 else 1
    suffix = f"{'x4_' if unroll == 4 else ''}{'bfloat16' if half else 'float32'}"
    out = np.ones(unroll * LANES + 1, np.float32)
    weights, stride = some(count, seed=2), keys.itemsize * width * LANES
    called(getattr(attention_simd, f"accumulate_values_{suffix}"), weights, keys, count, stride, keys, out)
    np.testing.assert_allclose(out[:-1], 1 + weights @ values[:, : unroll * LANES], rtol=1e-4, atol=1e-4)
    assert out[-1] == 1


def test_softmax_of_a_block_masks_each_column_on_its_own() -> None:
    scores, begins, ends = some(40, LANES) * 30, np.arange(LANES, dtype=np.int32), np.arange(20, 36, dtype=np.int32)
    weights, sums = scores.copy(), np.empty(LANES, np.float32)
    called(attention_simd.softmax, weights, len(weights), begins, ends, sums)
    for column in range(LANES):
        visible = slice(begins[column], ends[column])
        expected = reference.softmax(scores[visible, column].astype(np.float64))
        np.testing.assert_allclose(weights[visible, column] / sums[column], expected, rtol=1e-5, atol=1e-30)
        assert weights[visible, column].max() == 1
        assert weights[: begins[column], column].sum() == weights[ends[column] :, column].sum() == 0


def test_softmax_of_one_query() -> None:
    scores = some(3 * LANES) * 30
    scores[40:] = MASKED_SCORE
    weights, total = scores.copy(), np.empty(1, np.float32)
    called(attention_simd.softmax_single, weights, 3, total)
    np.testing.assert_allclose(weights[:40] / total, reference.softmax(scores[:40].astype(np.float64)), 1e-5, 1e-30)
    assert weights.max() == 1


def test_rope_rotates_pairs() -> None:
    x, positions, max_period = some(1, 1, 2 * LANES), np.array([7]), 100.0
    angles = 7 * max_period ** (-np.arange(LANES) / LANES)
    y, cos_sin = x.copy(), np.stack([np.cos(angles), np.sin(angles)], 1).ravel().astype(np.float32)
    called(attention_simd.rope, y, cos_sin, 2)
    np.testing.assert_allclose(y, reference.rope(x, positions, max_period), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("count", [1, 5, 33])
def test_small_matrix_product_adds_to_its_output(count: int) -> None:
    a, b, c = some(ROWS, count), some(count, LANES, seed=1), some(ROWS, LANES + 3, seed=2)
    y = c.copy()
    called(attention_simd.matmul_8x16, a, count, 1, b, LANES, y, LANES + 3, count)
    np.testing.assert_allclose(y[:, :LANES], c[:, :LANES] + a @ b, rtol=1e-4, atol=1e-4)
    np.testing.assert_array_equal(y[:, LANES:], c[:, LANES:])

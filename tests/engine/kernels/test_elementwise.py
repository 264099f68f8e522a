"""Exponential, ELU and quantization against NumPy, at both ends of their ranges."""

from typing import Any

import numba
import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from sayline_tts.engine.kernels import elementwise, reference
from sayline_tts.engine.kernels.elementwise import EXP_MAX, EXP_MIN
from sayline_tts.engine.kernels.ir_builder import LANES
from tests.engine.kernels.arrays import called, some


@numba.njit
def scalars(x: Any, exponentials: Any, elus: Any) -> None:
    for i in range(x.size):
        exponentials[i], elus[i] = elementwise.exp(x[i]), elementwise.elu(x[i])


@settings(max_examples=100, deadline=None)
@given(st.lists(st.floats(-1e6, 1e6, width=32), min_size=1, max_size=40))
def test_scalar_exp_and_elu_equal_numpy(numbers: list[float]) -> None:
    x = np.array([EXP_MIN, EXP_MAX, -0.0, *numbers], np.float32)
    exponentials, elus = np.empty_like(x), np.empty_like(x)
    scalars(x, exponentials, elus)
    np.testing.assert_allclose(exponentials, np.exp(np.clip(x, EXP_MIN, EXP_MAX).astype(np.float64)), rtol=1e-5)
    np.testing.assert_allclose(elus, reference.elu(x), atol=2e-7, rtol=1e-6)


def test_vector_elu_equals_numpy_and_writes_nothing_behind_its_end() -> None:
    x = np.concatenate([some(2 * LANES - 3) * 5, np.array([-200, 0, 200], np.float32)])
    y = np.full(len(x) + 1, np.nan, np.float32)
    called(elementwise.elu_vectors, x, 2, y)
    np.testing.assert_allclose(y[:-1], reference.elu(x), rtol=1e-5, atol=2e-7)
    assert np.isnan(y[-1])


def test_quantization_rounds_and_saturates_at_both_ends() -> None:
    x = np.clip(np.concatenate([some(2 * LANES - 3) * 5, np.array([-200, 0, 200], np.float32)]), -7, 200)
    levels = np.full(len(x) + 1, 77, np.uint8)
    called(elementwise.quantize_vectors, x, 2, np.array([-7], np.float32), np.array([20], np.float32), levels)
    np.testing.assert_array_equal(levels[:-1], np.minimum((x + 7) * 20 + 0.5, 255).astype(np.uint8))
    assert levels[-1] == 77

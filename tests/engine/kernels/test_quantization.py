"""Quantization of weights and of activations against NumPy."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from sayline_tts.engine.kernels import int8_gemm, reference
from sayline_tts.engine.kernels.int8_microkernel import INPUTS_PER_DOT
from sayline_tts.engine.kernels.ir_builder import CACHE_LINE_BYTES
from sayline_tts.engine.kernels.jit import ACTIVE_ISA
from tests.engine.kernels.arrays import some


@pytest.mark.parametrize("outputs", [16, int8_gemm.NR // 2, int8_gemm.NR + 1])
def test_weights_use_all_their_levels_and_keep_their_signs(outputs: int) -> None:
    """Unpacked from their panels."""
    weights = some(outputs, 33) * np.logspace(-6, 6, outputs, dtype=np.float32)[:, None]
    weights[3] = 0
    bias = some(outputs, seed=1)
    panels, epilogue = int8_gemm.pack(weights, bias)
    nr = epilogue.shape[2]
    rows = panels.reshape(len(panels), -1, nr, INPUTS_PER_DOT).transpose(0, 2, 1, 3).reshape(-1, 36)
    levels, constants = rows[:outputs, :33], epilogue.transpose(1, 0, 2).reshape(3, -1)[:, :outputs]
    expected, scales = reference.quantize_weights(weights, ACTIVE_ISA.max_weight)
    assert np.abs(levels - expected).max() <= 1  # a tie may round to either side
    assert (levels != expected).mean() < 0.01
    largest = np.abs(levels.astype(int)).max(axis=1)
    assert largest[3] == 0
    assert set(np.delete(largest, 3)) == {ACTIVE_ISA.max_weight}
    np.testing.assert_allclose(constants[0], scales, rtol=1e-6)
    np.testing.assert_allclose(constants[1], (levels * constants[0][:, None]).sum(axis=1), rtol=1e-5, atol=1e-9)
    np.testing.assert_array_equal(constants[2], bias)
    assert not rows[:, 33:].any()
    assert not rows[outputs:].any()
    assert panels.ctypes.data % CACHE_LINE_BYTES == 0


@pytest.mark.parametrize("x", [[5.0] * 16, [-5.0] * 16, [0.0] * 15 + [-1e6], [0.0] * 15 + [1e-9], [1e6] + [-1.0] * 15])
def test_zero_is_a_level_and_the_range_is_used(x: list[float]) -> None:
    """By weights that pass each number on."""
    numbers = np.array(x, np.float32)
    found = identity(numbers[None])[0]
    span = float(np.ptp(numbers))
    np.testing.assert_allclose(found, x, atol=span / 255 * 0.51 + 1e-6 * np.abs(numbers).max() + 1e-11)
    if span:
        np.testing.assert_allclose(found[numbers == 0], 0, atol=1e-7 * span)  # scaling back rounds to 6e-8 of the range


@settings(max_examples=60, deadline=None)
@given(arrays(np.float32, st.tuples(st.integers(1, 9), st.just(16)), elements=st.floats(-1e4, 1e4, width=32)))
def test_rows_have_levels_of_their_own(x: np.ndarray) -> None:
    q_x, scale_x, min_x = reference.quantize_rows(x)
    expected = q_x * scale_x[:, None] + min_x[:, None]
    step = scale_x[:, None] * 1.01 + np.abs(x).max(axis=1, keepdims=True) * 1e-5  # a tie may round to either side
    assert (np.abs(identity(x) - expected) <= step).all()


def identity(x: np.ndarray) -> np.ndarray:
    conv = int8_gemm.Int8Conv(*int8_gemm.pack(np.eye(16, dtype=np.float32), None), 1, 1, 0, int8_gemm.NONE)
    y = np.full((len(x), 16), np.nan, np.float32)
    int8_gemm.int8_conv(conv, np.empty((1, 0, 16), np.float32), x[None], y[:0], y)
    return y


@pytest.mark.parametrize("among", [2, 7, 16, 33, 65])
def test_row_is_quantized_to_the_same_bits_among_any_others(among: int) -> None:
    """Levels rarely change where a scale is off by its last bit, so many rows are compared."""
    rng = np.random.default_rng(among)
    rows = among * (20_000 // among)
    x = (rng.standard_normal((rows, 16)) * 10.0 ** rng.uniform(-3, 3, (rows, 1))).astype(np.float32)
    together = np.concatenate([identity(part) for part in np.split(x, rows // among)])
    alone = np.concatenate([identity(row[None]) for row in x])
    np.testing.assert_array_equal(together, alone)

"""Float32 convolution kernels against NumPy, with any sizes."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from sayline_tts.engine.kernels import conv_kernels, reference
from tests.engine.kernels.arrays import some, strided_state


@settings(max_examples=50, deadline=None)
@given(st.integers(1, 3), st.integers(0, 6), st.integers(0, 9), st.integers(1, 40), st.booleans(), st.integers(-3, 3))
def test_state_and_input_are_concatenated_and_the_state_becomes_the_end(
    rows: int, reach: int, time: int, channels: int, apply_elu: bool, magnitude: int
) -> None:
    x, state = some(rows, time, channels) * np.float32(10.0**magnitude), strided_state(rows, reach, channels)
    expected, expected_state = reference.concat_state(state.copy(), x, apply_elu)
    y = np.empty((rows, reach + time, channels), np.float32)
    conv_kernels.concat_state(state, x, apply_elu, y)
    np.testing.assert_allclose(y, expected, atol=2e-7, rtol=1e-6)
    np.testing.assert_array_equal(state, y[:, time:])
    assert state.shape == expected_state.shape


@settings(max_examples=50, deadline=None)
@given(st.integers(1, 3), st.integers(1, 40), st.integers(1, 33), st.integers(1, 7))
def test_convolution_to_one_channel(rows: int, outputs: int, channels: int, taps: int) -> None:
    x, weights = some(rows, outputs + taps - 1, channels), some(taps * channels, seed=1)
    y = np.empty((rows, outputs), np.float32)
    conv_kernels.conv_to_mono(x, weights, 0.5, y)
    np.testing.assert_allclose(y, reference.conv_to_mono(x, weights, 0.5), rtol=1e-4, atol=1e-4)

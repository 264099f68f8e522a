"""The int8 microkernel of every instruction set that this processor has, against NumPy."""

from typing import Any

import numba
import numpy as np
import pytest

from sayline_tts.engine.kernels import reference
from sayline_tts.engine.kernels.int8_microkernel import INPUTS_PER_DOT, Tile, int8_microkernel
from sayline_tts.engine.kernels.isa import ISAS, Isa
from sayline_tts.engine.kernels.numba_internals import host_features
from tests.engine.kernels.arrays import some


def run(kernel: Any) -> Any:
    @numba.njit
    def function(q_x: Any, panel: Any, epilogue: Any, scale_x: Any, min_x: Any, y: Any, k_groups: Any) -> None:
        kernel(Tile(q_x.ctypes.data, q_x.shape[1], panel.ctypes.data, epilogue.ctypes.data, scale_x.ctypes.data,
                    min_x.ctypes.data, y.ctypes.data, 4 * y.shape[1], panel.ctypes.data, 0, k_groups))  # fmt: skip

    return function


@pytest.mark.parametrize("narrow", [False, True], ids=["full panel", "narrow panel"])
@pytest.mark.parametrize("isa", ISAS, ids=lambda each: each.name)
def test_microkernel_is_exact_for_each_instruction_set(isa: Isa, narrow: bool) -> None:
    """The largest inputs and weights come first, of both signs; nothing beside the output is written."""
    if not isa.is_supported(host_features()):
        pytest.skip(f"this processor has no {isa.name}")
    shape = isa.narrow if narrow else isa
    k_groups, nr, largest = 37, shape.nr, int(shape.max_weight)
    rng = np.random.default_rng(0)
    for rows in (1, 2, shape.mr):
        q_x = rng.integers(0, 256, (rows, k_groups * INPUTS_PER_DOT), np.uint8)
        q_w = rng.integers(-largest, largest + 1, (nr, k_groups * INPUTS_PER_DOT), np.int8)
        q_x[:, :8], q_w[:, :4], q_w[:, 4:8] = 255, largest, -largest
        panel = np.ascontiguousarray(q_w.reshape(nr, k_groups, INPUTS_PER_DOT).transpose(1, 0, 2))
        epilogue, scale_x, min_x = some(3, nr), some(rows, seed=1), some(rows, seed=2)
        y = np.full((rows, nr + 3), np.nan, np.float32)
        run(int8_microkernel(shape, rows))(q_x, panel, epilogue, scale_x, min_x, y, k_groups)
        expected = reference.microkernel(q_x, q_w, scale_x, min_x, epilogue)
        np.testing.assert_allclose(y[:, :nr], expected, rtol=1e-5, atol=1e-2)
        assert np.isnan(y[:, nr:]).all()

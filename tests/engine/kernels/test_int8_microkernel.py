"""engine/kernels/int8_microkernel.py: products of bytes by every instruction that this processor has."""

from typing import Any

import numba
import numpy as np
import pytest
from numba.core.registry import cpu_target

from sayline_tts.engine.kernels.int8_microkernel import (
    AVX2,
    AVX512_VNNI,
    AVX_VNNI,
    GENERIC,
    Isa,
    best_isa,
    int8_microkernel,
)

INSTRUCTIONS = [AVX512_VNNI, AVX_VNNI, AVX2, GENERIC]
FEATURES = cpu_target.target_context.codegen().magic_tuple()[2].split(",")


def some(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape, np.float32)


@pytest.mark.parametrize(
    ("features", "expected"),
    [
        ("+avx2,+avx512vnni,+avxvnni", AVX512_VNNI),
        ("+avx2,-avx512vnni,+avxvnni", AVX_VNNI),
        ("+avx2,-avxvnni", AVX2),
        ("+neon", GENERIC),
        ("", GENERIC),
    ],
)
def test_the_widest_instruction_that_there_is(features: str, expected: Isa) -> None:
    assert best_isa(features) is expected


def run(times: Any) -> Any:
    @numba.njit
    def loop(q_x: Any, panel: Any, epilogue: Any, scale_x: Any, min_x: Any, y: Any, k_groups: Any) -> None:
        times(q_x.ctypes.data, q_x.shape[1], panel.ctypes.data, epilogue.ctypes.data, scale_x.ctypes.data,
              min_x.ctypes.data, y.ctypes.data, 4 * y.shape[1], panel.ctypes.data, 0, k_groups)  # fmt: skip

    return loop


@pytest.mark.parametrize("narrow", [False, True])
@pytest.mark.parametrize("instruction", INSTRUCTIONS, ids=lambda each: each.feature or "any")
def test_a_tile_is_exact_by_each_instruction(isa: Isa, narrow: bool) -> None:
    """Levels and weights as great as they may be come first; then it is scaled back, and nothing else is written."""
    if isa.feature and f"+{isa.feature}" not in FEATURES:
        pytest.skip(f"this processor has no {isa.feature}")
    kind = isa.narrow if narrow else isa
    k_groups, width, most = 37, kind.nr, int(kind.max_weight)
    rng = np.random.default_rng(0)
    for rows in (1, 2, kind.mr):
        q_x = rng.integers(0, 256, (rows, k_groups * 4), np.uint8)
        weights = rng.integers(-most, most + 1, (width, k_groups * 4), np.int8)
        q_x[:, :8], weights[:, :4], weights[:, 4:8] = 255, most, -most
        panel = np.ascontiguousarray(weights.reshape(width, k_groups, 4).transpose(1, 0, 2))
        epilogue, scale_x, min_x = some(3, width), some(rows, seed=1), some(rows, seed=2)
        y = np.full((rows, width + 3), np.nan, np.float32)
        run(int8_microkernel(kind, rows))(q_x, panel, epilogue, scale_x, min_x, y, k_groups)
        sums = q_x.astype(np.float64) @ weights.astype(np.float64).T
        expected = sums * epilogue[0] * scale_x[:, None] + min_x[:, None] * epilogue[1] + epilogue[2]
        np.testing.assert_allclose(y[:, :width], expected, rtol=1e-5, atol=1e-2)
        assert np.isnan(y[:, width:]).all()

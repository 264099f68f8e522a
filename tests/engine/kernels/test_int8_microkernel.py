"""engine/kernels/int8_microkernel.py: products of bytes by every instruction that this processor has."""

from typing import Any

import numba
import numpy as np
import pytest
from numba.core.registry import cpu_target

from sayline_tts.engine.kernels.int8_microkernel import ANY, AVX, AVX512, PAIRS, Instruction, best_instruction, tile

INSTRUCTIONS = [AVX512, AVX, PAIRS, ANY]
FEATURES = cpu_target.target_context.codegen().magic_tuple()[2].split(",")


def some(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape, np.float32)


@pytest.mark.parametrize(
    ("features", "expected"),
    [
        ("+avx2,+avx512vnni,+avxvnni", AVX512),
        ("+avx2,-avx512vnni,+avxvnni", AVX),
        ("+avx2,-avxvnni", PAIRS),
        ("+neon", ANY),
        ("", ANY),
    ],
)
def test_the_widest_instruction_that_there_is(features: str, expected: Instruction) -> None:
    assert best_instruction(features) is expected


def run(times: Any) -> Any:
    @numba.njit
    def loop(levels: Any, panel: Any, constants: Any, scales: Any, lows: Any, y: Any, groups: Any) -> None:
        times(levels.ctypes.data, levels.shape[1], panel.ctypes.data, constants.ctypes.data, scales.ctypes.data,
              lows.ctypes.data, y.ctypes.data, 4 * y.shape[1], panel.ctypes.data, 0, groups)  # fmt: skip

    return loop


@pytest.mark.parametrize("narrow", [False, True])
@pytest.mark.parametrize("instruction", INSTRUCTIONS, ids=lambda each: each.name or "any")
def test_a_tile_is_exact_by_each_instruction(instruction: Instruction, narrow: bool) -> None:
    """Levels and weights as great as they may be come first; then it is scaled back, and nothing else is written."""
    if instruction.name and f"+{instruction.name}" not in FEATURES:
        pytest.skip(f"this processor has no {instruction.name}")
    kind = instruction.narrow if narrow else instruction
    groups, width, most = 37, kind.width, int(kind.most)
    rng = np.random.default_rng(0)
    for rows in (1, 2, kind.rows):
        levels = rng.integers(0, 256, (rows, groups * 4), np.uint8)
        weights = rng.integers(-most, most + 1, (width, groups * 4), np.int8)
        levels[:, :8], weights[:, :4], weights[:, 4:8] = 255, most, -most
        panel = np.ascontiguousarray(weights.reshape(width, groups, 4).transpose(1, 0, 2))
        constants, scales, lows = some(3, width), some(rows, seed=1), some(rows, seed=2)
        y = np.full((rows, width + 3), np.nan, np.float32)
        run(tile(kind, rows))(levels, panel, constants, scales, lows, y, groups)
        sums = levels.astype(np.float64) @ weights.astype(np.float64).T
        expected = sums * constants[0] * scales[:, None] + lows[:, None] * constants[1] + constants[2]
        np.testing.assert_allclose(y[:, :width], expected, rtol=1e-5, atol=1e-2)
        assert np.isnan(y[:, width:]).all()

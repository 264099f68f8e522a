"""engine/kernels/jit.py: each loop against what it stands for in numpy; that it is compiled wherever it is."""

import re
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numba import float32, void
from numba.core.caching import CacheImpl

from sayline_tts.engine.kernels import jit

FINITE = st.floats(-1e6, 1e6, width=32)


def some(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape, np.float32)


def elu(x: np.ndarray) -> np.ndarray:
    return np.where(x > 0, x, np.expm1(np.minimum(x, 0).astype(np.float64))).astype(np.float32)


def tail_of(rows: int, reach: int, channels: int) -> np.ndarray:
    """One that lies among other numbers, as the codec's do."""
    return some(rows, 5 + reach * channels, seed=8)[:, 5:].reshape(rows, reach, channels)


@pytest.mark.parametrize("apply_elu", [False, True])
@pytest.mark.parametrize(("reach", "time"), [(0, 5), (3, 5), (5, 2)])
def test_what_is_joined_lies_behind_its_tail_which_becomes_the_end(apply_elu: bool, reach: int, time: int) -> None:
    x, state, whole = some(2, time, 17), tail_of(2, reach, 17), np.empty((2, reach + time, 17), np.float32)
    expected = np.concatenate([state, elu(x) if apply_elu else x], axis=1)
    jit.concat_state(state, x, apply_elu, whole)
    np.testing.assert_allclose(whole, expected, atol=2e-7, rtol=1e-6)
    np.testing.assert_array_equal(state, whole[:, time:])


@settings(max_examples=100, deadline=None)
@given(st.lists(FINITE, min_size=1, max_size=40))
def test_elu_is_that_of_numpy_however_large_its_numbers(numbers: list[float]) -> None:
    x = np.array([[numbers]], np.float32)
    whole = np.empty_like(x)
    jit.concat_state(x[:, :0].copy(), x, True, whole)
    np.testing.assert_allclose(whole, elu(x), atol=2e-7, rtol=1e-6)


def test_a_loop_is_compiled_where_nothing_may_be_written(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(CacheImpl, "_locator_classes", [])

    @jit.compiled(void(float32[::1]))
    def double(x: np.ndarray) -> None:
        for i in range(x.size):
            x[i] *= np.float32(2)

    numbers = np.arange(3, dtype=np.float32)
    double(numbers)
    assert numbers.tolist() == [0, 2, 4]


def test_compiled_loops_are_kept_until_any_of_them_changes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in jit.KERNEL_MODULES:
        (tmp_path / f"{name}.py").write_text("before")
    cache_dir = {jit.cache_dir(tmp_path)}
    for name in jit.KERNEL_MODULES:
        (tmp_path / f"{name}.py").write_text("after")
        cache_dir.add(jit.cache_dir(tmp_path))
    assert len(cache_dir) == 1 + len(jit.KERNEL_MODULES)
    assert all(folder.parent == tmp_path / "__pycache__" for folder in cache_dir)
    monkeypatch.setattr("numba.config.CACHE_DIR", "/elsewhere")
    assert jit.cache_dir(tmp_path).parent == Path("/elsewhere"), "whoever sets a folder is heard"


def test_all_that_is_compiled_is_watched_for_changes() -> None:
    imports = re.compile(r"^(from|import) (numba|llvmlite)", re.MULTILINE)
    files = {file.stem for file in jit.PACKAGE.glob("*.py") if imports.search(file.read_text())}
    assert files == set(jit.KERNEL_MODULES)


def test_others_loops_are_kept_where_they_were() -> None:
    assert str(jit.CACHED_IN) != jit.NUMBA_CONFIG.CACHE_DIR
    assert any(jit.CACHED_IN.rglob("*.nbi"))

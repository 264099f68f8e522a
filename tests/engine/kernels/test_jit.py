"""Compilation of kernels, and the cache of compiled code."""

import ast
from pathlib import Path

import numpy as np
import pytest
from numba import float32, void

from sayline_tts.engine.kernels import jit
from sayline_tts.engine.kernels.isa import AVX2, GENERIC
from sayline_tts.engine.kernels.numba_internals import CACHE_LOCATORS, CONFIG, CacheImpl


def test_kernels_are_compiled_where_the_cache_is_not_writable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(CacheImpl, CACHE_LOCATORS, [])

    @jit.compiled(void(float32[::1]))
    def double(x: np.ndarray) -> None:
        for i in range(x.size):
            x[i] *= np.float32(2)

    numbers = np.arange(3, dtype=np.float32)
    double(numbers)
    assert numbers.tolist() == [0, 2, 4]


def test_compiled_kernels_are_cached_by_all_sources_and_the_instruction_set(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in jit.KERNEL_MODULES:
        (tmp_path / f"{name}.py").write_text("before")
    folders = {jit.cache_dir(tmp_path, AVX2), jit.cache_dir(tmp_path, GENERIC)}
    for name in jit.KERNEL_MODULES:
        (tmp_path / f"{name}.py").write_text("after")
        folders.add(jit.cache_dir(tmp_path, AVX2))
    assert len(folders) == 2 + len(jit.KERNEL_MODULES)
    assert all(folder.parent == tmp_path / "__pycache__" for folder in folders)
    monkeypatch.setattr("numba.config.CACHE_DIR", "/elsewhere")
    assert jit.cache_dir(tmp_path, AVX2).parent == Path("/elsewhere"), "NUMBA_CACHE_DIR is respected"


def test_cache_key_covers_every_module_that_kernels_are_made_of() -> None:
    """Those that import Numba or llvmlite, and what these import of this package."""
    package = "sayline_tts.engine.kernels"
    imports: dict[str, set[str]] = {}
    for file in jit.PACKAGE.glob("*.py"):
        nodes = [
            node for node in ast.walk(ast.parse(file.read_text())) if isinstance(node, ast.Import | ast.ImportFrom)
        ]
        imports[file.stem] = {name for node in nodes for name in module_names(node)}
    compiled = {name for name, modules in imports.items() if modules & {"numba", "llvmlite"}}
    parts = {
        each.removeprefix(f"{package}.") for name in compiled for each in imports[name] if each.startswith(package)
    }
    uncompiled = {"attention", "attention_capture", "ops", "precision", "torch_internals", package}
    assert compiled | (parts - uncompiled) == set(jit.KERNEL_MODULES)


def module_names(node: ast.Import | ast.ImportFrom) -> list[str]:
    names = [each.name for each in node.names] if isinstance(node, ast.Import) else [node.module or ""]
    return [name.split(".")[0] if name.startswith(("numba", "llvmlite")) else name for name in names]


def test_cache_directory_of_other_code_is_left_alone() -> None:
    assert str(jit.CACHED_IN) != CONFIG.CACHE_DIR
    assert any(jit.CACHED_IN.rglob("*.nbi"))

"""Atomic file writes: a file is complete or absent, so a stage can be killed at any time and resumed."""

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray


def atomic_write_with(path: Path, write: Callable[[BinaryIO], object]) -> None:
    """Let `write` fill a temporary file next to `path`, then rename it."""
    draft = path.with_name(f"{path.name}.{os.getpid()}.part")
    with draft.open("wb") as file:
        write(file)
    draft.replace(path)


def save_array(path: Path, array: NDArray[Any]) -> None:
    atomic_write_with(path, lambda file: np.save(file, array))


def save_arrays(path: Path, arrays: Mapping[str, NDArray[Any]]) -> None:
    atomic_write_with(path, lambda file: np.savez(file, allow_pickle=False, **arrays))


def atomic_write(path: Path, content: bytes) -> None:
    atomic_write_with(path, lambda file: file.write(content))

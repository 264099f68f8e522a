"""Files that are either whole or not there, so that a stage can be killed at any moment and goes on from what is."""

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray


def write_with(path: Path, write: Callable[[BinaryIO], object]) -> None:
    """Let `write` fill a file beside `path`, then put it in its place."""
    draft = path.with_name(f"{path.name}.{os.getpid()}.part")
    with draft.open("wb") as file:
        write(file)
    draft.replace(path)


def write_array(path: Path, array: NDArray[Any]) -> None:
    write_with(path, lambda file: np.save(file, array))


def write_arrays(path: Path, arrays: Mapping[str, NDArray[Any]]) -> None:
    write_with(path, lambda file: np.savez(file, allow_pickle=False, **arrays))


def write_whole(path: Path, content: bytes) -> None:
    write_with(path, lambda file: file.write(content))

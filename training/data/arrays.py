"""Atomic writes of arrays: a file is complete or absent, so a stage can be killed at any time and resumed."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sayline_tts.engine.checkpoint.atomic_write import atomic_file


def save_array(path: Path, array: NDArray[Any]) -> None:
    with atomic_file(path) as file:
        np.save(file, array)


def save_arrays(path: Path, arrays: Mapping[str, NDArray[Any]]) -> None:
    with atomic_file(path) as file:
        np.savez(file, allow_pickle=False, **arrays)

"""Random arrays, and kernels called with the addresses of arrays."""

from typing import Any

import numba
import numpy as np


def some(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape, np.float32)


def strided_state(rows: int, reach: int, channels: int, seed: int = 8) -> np.ndarray:
    """A state that is a part of wider rows, as the codec's are."""
    return some(rows, 5 + reach * channels, seed=seed)[:, 5:].reshape(rows, reach, channels)


def called(kernel: Any, *arguments: Any) -> None:
    """Call an address kernel; arrays are passed by address."""
    names = [f"a{number}" for number in range(len(arguments))]
    namespace = {"kernel": kernel}
    exec(f"def call({', '.join(names)}):\n    kernel({', '.join(names)})\n", namespace)
    function: Any = numba.njit(namespace["call"])
    function(*(each.ctypes.data if isinstance(each, np.ndarray) else each for each in arguments))

"""Loops over numbers that torch can only do in many passes: each is compiled for this processor, once, by Numba.

What they compute is float32 and on this thread alone; Python's lock is free meanwhile. Loading such a module compiles
them, or finds them compiled on the disk.
"""

import hashlib
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import numba
import numpy as np
from numba import boolean, float32, types, void
from numba.core import cgutils
from numba.extending import intrinsic
from numba.np.numpy_support import carray

from sayline_tts.engine.kernels import simd
from sayline_tts.engine.kernels.simd import COLUMNS, elu

ZERO, HALF, ONE = np.float32(0.0), np.float32(0.5), np.float32(1.0)
LOG2_E, LOWEST = np.float32(simd.LOG2_E), np.float32(simd.LOWEST)
HIGHEST = np.float32(88.0)
MANTISSA_BITS = np.int32(simd.MANTISSA_BITS)
POWERS = tuple(np.float32(factor) for factor in simd.POWERS)

# Of this package: all that has loops or a part of one.
FILES = ("attention", "fused_layers", "int8_gemm", "int8_microkernel", "ir_builder", "jit", "simd")
PACKAGE = Path(__file__).parent
SETTINGS: Any = numba.config

_numbers, _rows, _batch, _tails = float32[::1], float32[:, ::1], float32[:, :, ::1], float32[:, :, :]
_Loop = TypeVar("_Loop", bound=Callable[..., Any])


def kept_in(sources: Path) -> Path:
    """Where compiled loops are kept: under what all of them look like now. Numba itself looks at the file of each, not
    at those whose loops it calls.
    """
    source = b"".join((sources / f"{name}.py").read_bytes() for name in FILES)
    return Path(SETTINGS.CACHE_DIR or sources / "__pycache__", f"loops-{hashlib.sha256(source).hexdigest()[:16]}")


KEPT_IN = kept_in(PACKAGE)
for older in (PACKAGE / "__pycache__").glob("loops-*"):
    if older != KEPT_IN:
        shutil.rmtree(older, ignore_errors=True)


@contextmanager
def _keeping() -> Iterator[None]:
    """Numba asks when it is given a loop where to keep it."""
    elsewhere, SETTINGS.CACHE_DIR = SETTINGS.CACHE_DIR, str(KEPT_IN)
    try:
        yield
    finally:
        SETTINGS.CACHE_DIR = elsewhere


def compiled(*signature: Any, inline: str = "never") -> Callable[[_Loop], _Loop]:
    """Now, for arguments of these types; without: when it is called, or within whoever calls it."""

    def compile_(loop: _Loop) -> _Loop:
        njit: Any = partial(
            numba.njit, *signature, inline=inline, nogil=True, fastmath=True, error_model="numpy", boundscheck=False
        )
        try:
            with _keeping():
                made: _Loop = njit(cache=True)(loop)
        except RuntimeError:  # nowhere may be written: it takes its seconds at each start
            made = njit()(loop)
        return made

    return compile_


def _first_if(comparison: str) -> Any:
    """That of two float32 which compares so with the other, in words that LLVM makes vectors of. Python's `min` and
    `max` say what is to be done about numbers that are none, and where many are compared that forbids it."""

    def choose(typing: Any, a: Any, b: Any) -> Any:
        def make(context: Any, builder: Any, signature: Any, both: Any) -> Any:
            chosen = builder.fcmp_ordered(comparison, *both, flags=("fast",))
            return builder.select(chosen, *both, flags=("fast",))

        return float32(float32, float32), make

    return intrinsic(choose)


least_of, most_of = _first_if("<"), _first_if(">")


def _typed(typing: Any, address: Any) -> Any:
    """A number as the address that it is."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.inttoptr(arguments[0], cgutils.voidptr_t)

    return types.voidptr(types.int64), generate


pointer: Any = intrinsic(_typed)
array: Any = carray


@compiled(inline="always")
def bare(owned: Any) -> Any:
    """The same array, whose owner is not told of every slice: counting who holds it is a tenth of a loop over rows."""
    return array(pointer(owned.ctypes.data), owned.shape, owned.dtype)


@compiled(inline="always")
def exp(x: Any) -> Any:
    x = min(max(x, LOWEST), HIGHEST) * LOG2_E
    whole = np.floor(x + HALF)
    part, power = x - whole, POWERS[0]
    power = power * part + POWERS[1]
    power = power * part + POWERS[2]
    power = power * part + POWERS[3]
    power = power * part + POWERS[4]
    power = power * part + POWERS[5]
    power = power * part + POWERS[6]
    return np.int32(np.float32(power).view(np.int32) + (np.int32(whole) << MANTISSA_BITS)).view(np.float32)


@compiled(inline="always")
def _elu(x: Any) -> Any:
    """max(x, e^x - 1)."""
    return max(x, exp(min(x, ZERO)) - ONE)


@compiled(inline="always")
def move(x: Any, activated: Any, into: Any) -> None:
    """`x` `[time, channels]`, through ELU if that is asked, to where it is wanted."""
    numbers, places = x.ravel(), into.ravel()
    if activated:
        count = numbers.size // COLUMNS
        if count:
            elu(numbers.ctypes.data, count, places.ctypes.data)
        for i in range(count * COLUMNS, numbers.size):
            places[i] = _elu(numbers[i])
    else:
        for i in range(numbers.size):
            places[i] = numbers[i]


@compiled(void(_tails, _batch, boolean, _batch))
def join(tail: Any, x: Any, activated: Any, whole: Any) -> None:
    """`whole` `[rows, reach + time, channels]`: `tail` `[rows, reach, channels]`, then `x`, through ELU if that is
    asked. The tail becomes the end of that."""
    reach, time = tail.shape[1], x.shape[1]
    for row in range(len(x)):
        whole[row, :reach] = tail[row]
        move(x[row], activated, whole[row, reach:])
        tail[row] = whole[row, time:]


@compiled(void(_batch, _numbers, float32, _rows))
def weigh(x: Any, weights: Any, bias: Any, y: Any) -> None:
    """A convolution with one output: `x` `[rows, time, channels]` to `y` `[rows, outputs]`; weights tap after tap."""
    for row in range(x.shape[0]):
        flat = x[row].ravel()
        for output in range(y.shape[1]):
            seen, total = flat[output * x.shape[2] :], ZERO
            for i in range(weights.size):
                total += seen[i] * weights[i]
            y[row, output] = total + bias

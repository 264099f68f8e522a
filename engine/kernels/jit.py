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
from sayline_tts.engine.kernels.simd import LANES, elu

ZERO, HALF, ONE = np.float32(0.0), np.float32(0.5), np.float32(1.0)
LOG2_E, EXP_MIN = np.float32(simd.LOG2_E), np.float32(simd.EXP_MIN)
EXP_MAX = np.float32(88.0)
MANTISSA_BITS = np.int32(simd.MANTISSA_BITS)
EXP2_POLYNOMIAL = tuple(np.float32(coefficient) for coefficient in simd.EXP2_POLYNOMIAL)

# Of this package: all that has loops or a part of one.
KERNEL_MODULES = ("attention", "fused_layers", "int8_gemm", "int8_microkernel", "ir_builder", "jit", "simd")
PACKAGE = Path(__file__).parent
NUMBA_CONFIG: Any = numba.config

_vector, _matrix, _tensor, _strided_tensor = float32[::1], float32[:, ::1], float32[:, :, ::1], float32[:, :, :]
_Function = TypeVar("_Loop", bound=Callable[..., Any])


def cache_dir(sources: Path) -> Path:
    """Where compiled loops are kept: under what all of them look like now. Numba itself looks at the file of each, not
    at those whose loops it calls.
    """
    source = b"".join((sources / f"{name}.py").read_bytes() for name in KERNEL_MODULES)
    return Path(NUMBA_CONFIG.CACHE_DIR or sources / "__pycache__", f"loops-{hashlib.sha256(source).hexdigest()[:16]}")


CACHED_IN = cache_dir(PACKAGE)
for stale in (PACKAGE / "__pycache__").glob("loops-*"):
    if stale != CACHED_IN:
        shutil.rmtree(stale, ignore_errors=True)


@contextmanager
def _using_cache_dir() -> Iterator[None]:
    """Numba asks when it is given a loop where to keep it."""
    previous, NUMBA_CONFIG.CACHE_DIR = NUMBA_CONFIG.CACHE_DIR, str(CACHED_IN)
    try:
        yield
    finally:
        NUMBA_CONFIG.CACHE_DIR = previous


def compiled(*signature: Any, inline: str = "never") -> Callable[[_Function], _Function]:
    """Now, for arguments of these types; without: when it is called, or within whoever calls it."""

    def decorate(function: _Function) -> _Function:
        njit: Any = partial(
            numba.njit, *signature, inline=inline, nogil=True, fastmath=True, error_model="numpy", boundscheck=False
        )
        try:
            with _using_cache_dir():
                dispatcher: _Function = njit(cache=True)(function)
        except RuntimeError:  # nowhere may be written: it takes its seconds at each start
            dispatcher = njit()(function)
        return dispatcher

    return decorate


def _select_by(comparison: str) -> Any:
    """That of two float32 which compares so with the other, in words that LLVM makes vectors of. Python's `min` and
    `max` say what is to be done about numbers that are none, and where many are compared that forbids it."""

    def typing_(typing: Any, a: Any, b: Any) -> Any:
        def codegen(context: Any, builder: Any, signature: Any, operands: Any) -> Any:
            is_first = builder.fcmp_ordered(comparison, *operands, flags=("fast",))
            return builder.select(is_first, *operands, flags=("fast",))

        return float32(float32, float32), codegen

    return intrinsic(typing_)


fast_min, fast_max = _select_by("<"), _select_by(">")


def _pointer_from_int(typing: Any, address: Any) -> Any:
    """A number as the address that it is."""

    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.inttoptr(arguments[0], cgutils.voidptr_t)

    return types.voidptr(types.int64), codegen


pointer: Any = intrinsic(_pointer_from_int)


@compiled(inline="always")
def unowned_view(owned_array: Any) -> Any:
    """The same array, whose owner is not told of every slice: counting who holds it is a tenth of a loop over rows."""
    return carray(pointer(owned_array.ctypes.data), owned_array.shape, owned_array.dtype)


@compiled(inline="always")
def exp(x: Any) -> Any:
    x = min(max(x, EXP_MIN), EXP_MAX) * LOG2_E
    rounded = np.floor(x + HALF)
    fraction, exp2_fraction = x - rounded, EXP2_POLYNOMIAL[0]
    exp2_fraction = exp2_fraction * fraction + EXP2_POLYNOMIAL[1]
    exp2_fraction = exp2_fraction * fraction + EXP2_POLYNOMIAL[2]
    exp2_fraction = exp2_fraction * fraction + EXP2_POLYNOMIAL[3]
    exp2_fraction = exp2_fraction * fraction + EXP2_POLYNOMIAL[4]
    exp2_fraction = exp2_fraction * fraction + EXP2_POLYNOMIAL[5]
    exp2_fraction = exp2_fraction * fraction + EXP2_POLYNOMIAL[6]
    return np.int32(np.float32(exp2_fraction).view(np.int32) + (np.int32(rounded) << MANTISSA_BITS)).view(np.float32)


@compiled(inline="always")
def _elu(x: Any) -> Any:
    """max(x, e^x - 1)."""
    return max(x, exp(min(x, ZERO)) - ONE)


@compiled(inline="always")
def copy_elu(x: Any, apply_elu: Any, out: Any) -> None:
    """`x` `[time, channels]`, through ELU if that is asked, to where it is wanted."""
    source, target = x.ravel(), out.ravel()
    if apply_elu:
        count = source.size // LANES
        if count:
            elu(source.ctypes.data, count, target.ctypes.data)
        for i in range(count * LANES, source.size):
            target[i] = _elu(source[i])
    else:
        for i in range(source.size):
            target[i] = source[i]


@compiled(void(_strided_tensor, _tensor, boolean, _tensor))
def concat_state(state: Any, x: Any, apply_elu: Any, rounded: Any) -> None:
    """`whole` `[rows, reach + time, channels]`: `tail` `[rows, reach, channels]`, then `x`, through ELU if that is
    asked. The tail becomes the end of that."""
    reach, time = state.shape[1], x.shape[1]
    for row in range(len(x)):
        rounded[row, :reach] = state[row]
        copy_elu(x[row], apply_elu, rounded[row, reach:])
        state[row] = rounded[row, time:]


@compiled(void(_tensor, _vector, float32, _matrix))
def conv_to_mono(x: Any, weights: Any, bias: Any, y: Any) -> None:
    """A convolution with one output: `x` `[rows, time, channels]` to `y` `[rows, outputs]`; weights tap after tap."""
    for row in range(x.shape[0]):
        flat = x[row].ravel()
        for output in range(y.shape[1]):
            window, total = flat[output * x.shape[2] :], ZERO
            for i in range(weights.size):
                total += window[i] * weights[i]
            y[row, output] = total + bias

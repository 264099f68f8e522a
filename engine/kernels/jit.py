"""Compilation of CPU kernels by Numba: settings, the cache of compiled code, and helpers for kernels.

Kernels compute in float32 on the calling thread and release Python's lock. Importing a module with kernels compiles
them, or loads them from the cache.
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
from numba import carray, float32, types  # type: ignore[attr-defined]
from numba.extending import intrinsic

from sayline_tts.engine.kernels.ir_builder import FAST, I8
from sayline_tts.engine.kernels.isa import Isa, choose_isa, requested_isa
from sayline_tts.engine.kernels.numba_internals import CONFIG, host_features

ZERO, HALF, ONE = np.float32(0.0), np.float32(0.5), np.float32(1.0)

# Modules of this package that contain kernels, parts of kernels, or what decides on their code.
KERNEL_MODULES = (
    "attention_simd", "cache_storage", "conv_kernels", "elementwise", "fused_layers", "int8_gemm", "int8_microkernel",
    "ir_builder", "isa", "jit", "numba_internals", "paged_attention", "quantization",
)  # fmt: skip
PACKAGE = Path(__file__).parent
ACTIVE_ISA = choose_isa(host_features(), requested_isa())

_Function = TypeVar("_Function", bound=Callable[..., Any])


def cache_dir(sources: Path, isa: Isa) -> Path:
    """Directory of compiled kernels, named after a hash of all kernel sources.

    Numba itself checks only the file of each function, so it would keep stale code of the functions that it calls.
    """
    source = b"".join((sources / f"{name}.py").read_bytes() for name in KERNEL_MODULES)
    digest = hashlib.sha256(source).hexdigest()[:16]
    return Path(CONFIG.CACHE_DIR or sources / "__pycache__", f"kernels-{digest}-{isa.name}")


CACHED_IN = cache_dir(PACKAGE, ACTIVE_ISA)
for stale in (PACKAGE / "__pycache__").glob("kernels-*"):
    if not stale.name.startswith(CACHED_IN.name.removesuffix(ACTIVE_ISA.name)):
        shutil.rmtree(stale, ignore_errors=True)


@contextmanager
def _using_cache_dir() -> Iterator[None]:
    """Numba reads its cache directory when a function is decorated."""
    previous, CONFIG.CACHE_DIR = CONFIG.CACHE_DIR, str(CACHED_IN)
    try:
        yield
    finally:
        CONFIG.CACHE_DIR = previous


def compiled(*signature: Any, inline: str = "never", fastmath: bool = True) -> Callable[[_Function], _Function]:
    """Compile a function now, for this signature; without one, on its first call or as a part of its callers.

    `fastmath`: a loop over the rows of a batch must not have it, because LLVM then divides by estimated reciprocals in
    whole vectors of rows and exactly in the rest, so a row's result would depend on the rows beside it.
    """

    def decorate(function: _Function) -> _Function:
        njit: Any = partial(
            numba.njit, *signature, inline=inline, nogil=True, fastmath=fastmath, error_model="numpy", boundscheck=False
        )
        try:
            with _using_cache_dir():
                dispatcher: _Function = njit(cache=True)(function)
        except RuntimeError:  # no writable cache directory: compile at every start, for some seconds
            dispatcher = njit()(function)
        return dispatcher

    return decorate


def struct_type(struct: type, *fields: Any) -> Any:
    """Numba's type of a `NamedTuple` with fields of these types."""
    base: Any = types.BaseTuple
    return base.from_types(fields, struct)


def _select(comparison: str) -> Any:
    """The one of two float32 that compares so with the other.

    Python's `min` and `max` define what happens to NaN, which keeps LLVM from vectorizing reductions.
    """

    def typing(context: Any, a: Any, b: Any) -> Any:
        def codegen(context: Any, builder: Any, signature: Any, operands: Any) -> Any:
            is_first = builder.fcmp_ordered(comparison, *operands, flags=FAST)
            return builder.select(is_first, *operands, flags=FAST)

        return float32(float32, float32), codegen

    return intrinsic(typing)


fast_min, fast_max = _select("<"), _select(">")


def _pointer(typing: Any, address: Any) -> Any:
    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.inttoptr(arguments[0], I8.as_pointer())

    return types.voidptr(types.int64), codegen


pointer: Any = intrinsic(_pointer)  # from an address, for `carray`


@compiled(inline="always")
def unowned_view(array: Any) -> Any:
    """The same array without reference counting, valid as long as the caller's array.

    Numba counts references at every slice, with an atomic addition; that takes a tenth of a loop over rows.
    """
    return carray(pointer(array.ctypes.data), array.shape, array.dtype)


@compiled(inline="always")
def address(array: Any) -> Any:
    """Address of an array's data, signed: Numba would add a signed number to an unsigned one as float64."""
    return np.int64(array.ctypes.data)

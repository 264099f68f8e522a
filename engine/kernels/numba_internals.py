"""All uses of Numba that its documentation does not cover.

Written for numba 0.68 and llvmlite 0.50. This module's tests show what an upgrade has moved.
"""

from typing import Any

import numba
from numba.core.caching import CacheImpl
from numba.core.registry import cpu_target

CONFIG: Any = numba.config  # `CACHE_DIR` is read whenever a function is decorated
CACHE_LOCATORS = "_locator_classes"  # attribute of `CacheImpl`: where compiled code may be stored

__all__ = ["CACHE_LOCATORS", "CONFIG", "CacheImpl", "element", "host_features", "void_result"]


def host_features() -> str:
    """LLVM's names of the features that Numba compiles for: `+avx2,-sse4a`."""
    features: str = cpu_target.target_context.codegen().magic_tuple()[2]
    return features


def void_result(context: Any) -> Any:
    """What an intrinsic of type `void` returns from its code generator."""
    return context.get_dummy_value()


def element(builder: Any, tuple_: Any, index: int) -> Any:
    """LLVM value of a tuple's element: Numba passes tuples as LLVM arrays or structs."""
    return builder.extract_value(tuple_, index)

"""Helpers to write innermost loops directly as LLVM IR.

Whether LLVM vectorizes a loop by itself, and keeps sums in registers, depends on the code around it; a loop that it
does not vectorize takes four times as long. The kernels written with this module do not depend on that.
"""

from collections.abc import Callable, Sequence
from inspect import signature
from typing import Any

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from sayline_tts.engine.kernels.numba_internals import void_result

I64, I32, I16, I8, F32 = ir.IntType(64), ir.IntType(32), ir.IntType(16), ir.IntType(8), ir.FloatType()
CACHE_LINE_BYTES = 64
LANES = 16  # of the vectors below; LLVM splits them where registers are smaller
F32X16, I32X16 = ir.VectorType(F32, LANES), ir.VectorType(I32, LANES)
FAST = ("fast",)
CONTRACT = ("contract",)  # fused multiply-adds, but no other order of operations: kernels of any row count agree


def address_kernel(write: Callable[..., None]) -> Any:
    """Make a Numba intrinsic that takes int64 arguments from `write(builder, *arguments)`, which emits its body."""

    def typing(context: Any, *argument_types: Any) -> Any:
        def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            write(builder, *arguments)
            return void_result(context)

        return types.void(*[types.int64] * len(argument_types)), codegen

    parameters = signature(write)  # Numba matches the names of arguments
    typing.__signature__ = parameters  # type: ignore[attr-defined]
    return intrinsic(typing)


def loop(
    builder: Any, count: Any, initial: Sequence[Any], body: Callable[[Any, Sequence[Any]], Sequence[Any]]
) -> Sequence[Any]:
    """Emit a loop of `count` iterations, at least one. `body` maps an index and the carried values to their successors.

    Returns the final values.
    """
    entry, block, exit_ = builder.block, builder.append_basic_block(), builder.append_basic_block()
    builder.branch(block)
    builder.position_at_end(block)
    index, values = builder.phi(I64), [builder.phi(each.type) for each in initial]
    results, next_index, end = body(index, values), builder.add(index, i64(1)), builder.block
    for phi, first, following in zip((index, *values), (i64(0), *initial), (next_index, *results), strict=True):
        phi.add_incoming(first, entry)
        phi.add_incoming(following, end)
    builder.cbranch(builder.icmp_signed("<", next_index, count), block, exit_)
    builder.position_at_end(exit_)
    return results


def i64(value: int) -> Any:
    return ir.Constant(I64, value)


def offset(builder: Any, base: Any, stride: Any, index: Any) -> Any:
    """Address of 4-byte element `stride * index` behind `base`."""
    return builder.add(base, builder.mul(builder.mul(stride, index), i64(4)))


def load(builder: Any, type_: Any, address: Any, align: int = 4) -> Any:
    return builder.load(builder.inttoptr(address, type_.as_pointer()), align=align)


def store(builder: Any, value: Any, address: Any, align: int = 4) -> None:
    builder.store(value, builder.inttoptr(address, value.type.as_pointer()), align=align)


def call(builder: Any, name: str, result: Any, *arguments: Any) -> Any:
    """Call an LLVM intrinsic function."""
    function = builder.module.globals.get(name)
    if function is None:
        type_ = ir.FunctionType(result, [argument.type for argument in arguments])
        function = ir.Function(builder.module, type_, name)
    return builder.call(function, arguments)


def prefetch(builder: Any, address: Any, locality: int = 3) -> None:
    """Prefetch a cache line: 3 into the nearest cache, 2 or 1 into farther ones. Invalid addresses are harmless."""
    arguments = (ir.Constant(I32, value) for value in (0, locality, 1))  # read, locality, data
    call(builder, "llvm.prefetch.p0", ir.VoidType(), builder.inttoptr(address, I8.as_pointer()), *arguments)


def prefetch_bytes(builder: Any, address: Any, size: int) -> None:
    for line in range(0, size, CACHE_LINE_BYTES):
        prefetch(builder, builder.add(address, i64(line)))


def constant(type_: Any, value: float) -> Any:
    """A scalar constant, or a vector of the same constant."""
    return ir.Constant(type_, [value] * type_.count if isinstance(type_, ir.VectorType) else value)


def broadcast(builder: Any, value: Any, lanes: int = LANES) -> Any:
    """A vector of a scalar."""
    undefined = ir.Constant(ir.VectorType(value.type, lanes), ir.Undefined)
    first = builder.insert_element(undefined, value, ir.Constant(I32, 0))
    return builder.shuffle_vector(first, undefined, ir.Constant(ir.VectorType(I32, lanes), None))


def shuffle(builder: Any, vector: Any, lanes: Sequence[int], other: Any = None) -> Any:
    """Lanes of a vector, or of two concatenated vectors."""
    other = ir.Constant(vector.type, ir.Undefined) if other is None else other
    return builder.shuffle_vector(vector, other, ir.Constant(ir.VectorType(I32, len(lanes)), list(lanes)))


def reduce(builder: Any, vector: Any, combine: Callable[[Any, Any], Any]) -> Any:
    """Combine all lanes of a vector; every lane of the result holds it."""
    for distance in (8, 4, 2, 1):
        vector = combine(vector, shuffle(builder, vector, [i ^ distance for i in range(LANES)]))
    return vector


def maximum(builder: Any, a: Any, b: Any) -> Any:
    return builder.select(builder.fcmp_ordered(">", a, b, flags=FAST), a, b)


def multiply_add(builder: Any, a: Any, b: Any, c: Any) -> Any:
    """`a * b + c`, which LLVM contracts to a fused multiply-add."""
    return builder.fadd(builder.fmul(a, b, flags=FAST), c, flags=FAST)

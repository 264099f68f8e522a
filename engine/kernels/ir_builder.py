"""What loops that we write for LLVM have in common: repeating, reading, filling a vector, fetching beforehand."""

from collections.abc import Callable, Sequence
from typing import Any

from llvmlite import ir

I64, I32, F32, I8 = ir.IntType(64), ir.IntType(32), ir.FloatType(), ir.IntType(8)
CACHE_LINE_BYTES = 64  # bytes of a cache


def loop(
    builder: Any, count: Any, initial: Sequence[Any], body: Callable[[Any, Sequence[Any]], Sequence[Any]]
) -> Sequence[Any]:
    """LLVM for `once` so many times, one at least: from the step and what there is to what there is then."""
    entry_block, loop, done = builder.block, builder.append_basic_block(), builder.append_basic_block()
    builder.branch(loop)
    builder.position_at_end(loop)
    index, values = builder.phi(I64), [builder.phi(each.type) for each in initial]
    results, next_index, end_block = body(index, values), builder.add(index, ir.Constant(I64, 1)), builder.block
    for phi, first, result in zip(
        (index, *values), (ir.Constant(I64, 0), *initial), (next_index, *results), strict=True
    ):
        phi.add_incoming(first, entry_block)
        phi.add_incoming(result, end_block)
    builder.cbranch(builder.icmp_signed("<", next_index, count), loop, done)
    builder.position_at_end(done)
    return results


def load(builder: Any, type_: Any, address: Any, align: int = 4) -> Any:
    return builder.load(builder.inttoptr(address, type_.as_pointer()), align=align)


def store(builder: Any, value: Any, address: Any, align: int = 4) -> None:
    builder.store(value, builder.inttoptr(address, value.type.as_pointer()), align=align)


def broadcast(builder: Any, value: Any, lanes: int) -> Any:
    """A vector of one number."""
    undefined = ir.Constant(ir.VectorType(value.type, lanes), ir.Undefined)
    first = builder.insert_element(undefined, value, ir.Constant(I32, 0))
    return builder.shuffle_vector(first, undefined, ir.Constant(ir.VectorType(I32, lanes), None))


def prefetch(builder: Any, address: Any, locality: int = 3) -> None:
    """What lies there is wanted soon, in the nearest cache or in one farther away. An address where nothing is does no
    harm.
    """
    name, pointer_type = "llvm.prefetch.p0", I8.as_pointer()
    type_ = ir.FunctionType(ir.VoidType(), [pointer_type, I32, I32, I32])
    function = builder.module.globals.get(name) or ir.Function(builder.module, type_, name)
    builder.call(
        function, [builder.inttoptr(address, pointer_type), *(ir.Constant(I32, value) for value in (0, locality, 1))]
    )

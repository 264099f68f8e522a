"""What loops that we write for LLVM have in common: repeating, reading, filling a vector, fetching beforehand."""

from collections.abc import Callable, Sequence
from typing import Any

from llvmlite import ir

INDEX, WORD, NUMBER, BYTE = ir.IntType(64), ir.IntType(32), ir.FloatType(), ir.IntType(8)
LINE = 64  # bytes of a cache


def repeat(
    builder: Any, count: Any, begun: Sequence[Any], once: Callable[[Any, Sequence[Any]], Sequence[Any]]
) -> Sequence[Any]:
    """LLVM for `once` so many times, one at least: from the step and what there is to what there is then."""
    before, loop, done = builder.block, builder.append_basic_block(), builder.append_basic_block()
    builder.branch(loop)
    builder.position_at_end(loop)
    step, now = builder.phi(INDEX), [builder.phi(each.type) for each in begun]
    then, following, end = once(step, now), builder.add(step, ir.Constant(INDEX, 1)), builder.block
    for phi, start, after in zip((step, *now), (ir.Constant(INDEX, 0), *begun), (following, *then), strict=True):
        phi.add_incoming(start, before)
        phi.add_incoming(after, end)
    builder.cbranch(builder.icmp_signed("<", following, count), loop, done)
    builder.position_at_end(done)
    return then


def load(builder: Any, kind: Any, address: Any, align: int = 4) -> Any:
    return builder.load(builder.inttoptr(address, kind.as_pointer()), align=align)


def store(builder: Any, what: Any, address: Any, align: int = 4) -> None:
    builder.store(what, builder.inttoptr(address, what.type.as_pointer()), align=align)


def everywhere(builder: Any, number: Any, lanes: int) -> Any:
    """A vector of one number."""
    anything = ir.Constant(ir.VectorType(number.type, lanes), ir.Undefined)
    first = builder.insert_element(anything, number, ir.Constant(WORD, 0))
    return builder.shuffle_vector(first, anything, ir.Constant(ir.VectorType(WORD, lanes), None))


def fetch(builder: Any, address: Any, nearest: int = 3) -> None:
    """What lies there is wanted soon, in the nearest cache or in one farther away. An address where nothing is does no
    harm.
    """
    name, byte = "llvm.prefetch.p0", BYTE.as_pointer()
    kind = ir.FunctionType(ir.VoidType(), [byte, WORD, WORD, WORD])
    known = builder.module.globals.get(name) or ir.Function(builder.module, kind, name)
    builder.call(known, [builder.inttoptr(address, byte), *(ir.Constant(WORD, number) for number in (0, nearest, 1))])

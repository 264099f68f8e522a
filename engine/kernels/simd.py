"""Innermost loops, of attention above all, over vectors that stay in registers: code that we write for LLVM.

Whether LLVM makes vectors of a loop by itself depends on what surrounds it; without them it takes four times as long.
All take addresses, of float32 where nothing else is said.
"""

from collections.abc import Callable, Sequence
from functools import partial
from inspect import signature
from typing import Any, NamedTuple

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from sayline_tts.engine.kernels.ir_builder import (
    CACHE_LINE_BYTES,
    F32,
    I8,
    I32,
    I64,
    broadcast,
    load,
    loop,
    prefetch,
    store,
)

LANES, ROWS = 16, 8  # of a product
LOG2_E = 1.4426950408889634
EXP_MIN = -87.0  # e to this is the smallest float32 that is not denormal
MANTISSA_BITS = 23
# 2^x for x in [-0.5, 0.5] to 1e-7: a minimax polynomial, highest power first.
EXP2_POLYNOMIAL = (1.535336188e-4, 1.339887441e-3, 9.618437358e-3, 5.550332471e-2, 2.402264791e-1, 6.931472029e-1, 1.0)
MASKED_SCORE = -1e30  # less than any score

_F32X16, _I32X16 = ir.VectorType(F32, LANES), ir.VectorType(I32, LANES)
_FAST = ("fast",)


def _kernel(write: Callable[..., None]) -> Any:
    """For Numba: a function of integers without a result, which `write(builder, *arguments)` says in LLVM."""

    def typed(typing: Any, *kinds: Any) -> Any:
        def generate(context: Any, builder: Any, signed: Any, arguments: Any) -> Any:
            write(builder, *arguments)
            return context.get_dummy_value()

        return types.void(*[types.int64] * len(kinds)), generate

    typed.__signature__ = signature(write)  # type: ignore[attr-defined]  # Numba looks at the names of arguments
    return intrinsic(typed)


def _offset(builder: Any, base: Any, distance: Any, times: Any) -> Any:
    """Of a number or a word so many distances behind the base."""
    return builder.add(base, builder.mul(builder.mul(distance, times), _i64(4)))


def _i64(number: int) -> Any:
    return ir.Constant(I64, number)


def _splat(number: Any) -> Any:
    """A vector of one number."""
    kind = F32 if isinstance(number, float) else I32
    return ir.Constant(ir.VectorType(kind, LANES), [number] * LANES)


def _shuffle(builder: Any, vector: Any, places: Sequence[int], other: Any = None) -> Any:
    """Numbers of a vector, or of two as if they were one."""
    other = ir.Constant(vector.type, ir.Undefined) if other is None else other
    return builder.shuffle_vector(vector, other, ir.Constant(ir.VectorType(I32, len(places)), list(places)))


def _max(builder: Any, a: Any, b: Any) -> Any:
    return builder.select(builder.fcmp_ordered(">", a, b, flags=_FAST), a, b)


def _mul_add(builder: Any, a: Any, b: Any, c: Any) -> Any:
    return builder.fadd(builder.fmul(a, b, flags=_FAST), c, flags=_FAST)


def _matmul_8x16(
    builder: Any, a: Any, a_row: Any, a_step: Any, b: Any, b_step: Any, c: Any, c_row: Any, count: Any
) -> None:
    """`c[row, :16] += sum of a[row, step] * b[step, :16]` for eight rows and `count` steps.

    Distances between rows and between steps are in numbers. The sums are registers.
    """
    rows = [_i64(row) for row in range(ROWS)]
    of_a, of_c = [_offset(builder, a, a_row, row) for row in rows], [_offset(builder, c, c_row, row) for row in rows]

    def once(step: Any, sums: Sequence[Any]) -> list[Any]:
        right = load(builder, _F32X16, _offset(builder, b, b_step, step))
        left = [load(builder, F32, _offset(builder, address, a_step, step)) for address in of_a]
        return [
            _mul_add(builder, broadcast(builder, one, LANES), right, all_) for one, all_ in zip(left, sums, strict=True)
        ]

    begun = [load(builder, _F32X16, address) for address in of_c]
    for total, address in zip(loop(builder, count, begun, once), of_c, strict=True):
        store(builder, total, address)


def _rope(builder: Any, x: Any, by: Any, count: Any) -> None:
    """`16 * count` numbers of `x`, pair by pair, by a cosine and a sine each."""

    def once(step: Any, _: Sequence[Any]) -> list[Any]:
        at = _offset(builder, x, _i64(LANES), step)
        numbers = load(builder, _F32X16, at)
        angles = load(builder, _F32X16, _offset(builder, by, _i64(LANES), step))
        cosines = _shuffle(builder, angles, [i - i % 2 for i in range(LANES)])
        sines = _shuffle(builder, angles, [i - i % 2 + 1 for i in range(LANES)])
        signed = builder.fmul(sines, ir.Constant(_F32X16, [-1.0, 1.0] * (LANES // 2)), flags=_FAST)
        others = _shuffle(builder, numbers, [i + 1 - 2 * (i % 2) for i in range(LANES)])
        turned = _mul_add(builder, others, signed, builder.fmul(numbers, cosines, flags=_FAST))
        store(builder, turned, at)
        return []

    loop(builder, count, [], once)


def _softmax(builder: Any, scores: Any, count: Any, begins: Any, ends: Any, sums: Any) -> None:
    """Scores `[count, 16]` to weights, not yet divided by their sums `[16]`. Each column sees the positions between
    `begins` and `ends`, `[16]` of int32, and something of them.
    """
    begin, end = load(builder, _I32X16, begins), load(builder, _I32X16, ends)

    def seen(step: Any, numbers: Any, otherwise: float) -> Any:
        position = broadcast(builder, builder.trunc(step, I32), LANES)
        after, before = builder.icmp_signed(">=", position, begin), builder.icmp_signed("<", position, end)
        return builder.select(builder.and_(after, before), numbers, _splat(otherwise))

    store(builder, _softmax_columns(builder, scores, count, seen, lambda most: most), sums)


def _softmax_single(builder: Any, scores: Any, count: Any, total: Any) -> None:
    """`16 * count` scores to weights, not yet divided by their `total`."""

    def seen(step: Any, numbers: Any, otherwise: float) -> Any:
        return numbers

    sums = _softmax_columns(builder, scores, count, seen, lambda most: _reduce(builder, most, partial(_max, builder)))
    sums = _reduce(builder, sums, partial(builder.fadd, flags=_FAST))
    store(builder, builder.extract_element(sums, ir.Constant(I32, 0)), total)


def _softmax_columns(
    builder: Any, scores: Any, count: Any, seen: Callable[..., Any], highest: Callable[[Any], Any]
) -> Any:
    """Scores `[count, 16]` to weights, of what is `seen`; the sums of their columns. `highest`: the score that becomes
    one, for each column, of the greatest in each.
    """

    def at(step: Any) -> Any:
        return _offset(builder, scores, _i64(LANES), step)

    def greatest(step: Any, most: Sequence[Any]) -> list[Any]:
        return [_max(builder, seen(step, load(builder, _F32X16, at(step)), MASKED_SCORE), most[0])]

    def weighed(step: Any, sums: Sequence[Any]) -> list[Any]:
        under = builder.fsub(load(builder, _F32X16, at(step)), most, flags=_FAST)
        weight = seen(step, _exp(builder, under), 0.0)  # not e^-87: that is denormal in products
        store(builder, weight, at(step))
        return [builder.fadd(sums[0], weight, flags=_FAST)]

    most = highest(loop(builder, count, [_splat(MASKED_SCORE)], greatest)[0])
    return loop(builder, count, [_splat(0.0)], weighed)[0]


def _reduce(builder: Any, vector: Any, two: Callable[[Any, Any], Any]) -> Any:
    """What `two` makes of all numbers of a vector, in each place."""
    for distance in (8, 4, 2, 1):
        vector = two(vector, _shuffle(builder, vector, [i ^ distance for i in range(LANES)]))
    return vector


class _Storage(NamedTuple):
    """How keys and values are stored."""

    size: Any  # of sixteen, in bytes
    load: Callable[[Any, Any], Any]  # sixteen at an address, as float32


def _load_bfloat16(builder: Any, address: Any) -> Any:
    halves = load(builder, ir.VectorType(ir.IntType(16), LANES), address)
    return builder.bitcast(builder.shl(builder.zext(halves, _I32X16), _splat(16)), _F32X16)


_BFLOAT16 = _Storage(_i64(2 * LANES), _load_bfloat16)
_FLOAT32 = _Storage(_i64(4 * LANES), lambda builder, address: load(builder, _F32X16, address))


def _qk_scores(
    stored: _Storage, builder: Any, query: Any, vectors: Any, keys: Any, count: Any, ahead: Any, scores: Any
) -> None:
    """A query of so many vectors times `count` stored keys, eight at once: there is room for seven scores more.

    What is stored `ahead` in the same way is fetched meanwhile.
    """
    size, last = builder.mul(vectors, stored.size), builder.sub(count, _i64(1))

    def eight(block: Any, _: Sequence[Any]) -> list[Any]:
        first = builder.mul(block, _i64(ROWS))
        each = [builder.add(first, _i64(row)) for row in range(ROWS)]
        each = [builder.select(builder.icmp_signed("<", one, last), one, last) for one in each]
        of_each = [builder.add(keys, builder.mul(one, size)) for one in each]
        soon = builder.add(ahead, builder.mul(first, size))

        def once(step: Any, sums: Sequence[Any]) -> list[Any]:
            part = load(builder, _F32X16, _offset(builder, query, _i64(LANES), step))
            at = builder.mul(step, stored.size)
            _prefetch_bytes(builder, builder.add(soon, builder.mul(at, _i64(ROWS))), ROWS * stored.size.constant)
            known = [stored.load(builder, builder.add(address, at)) for address in of_each]
            return [_mul_add(builder, part, key, total) for key, total in zip(known, sums, strict=True)]

        sums, width = list(loop(builder, vectors, [_splat(0.0)] * ROWS, once)), LANES
        while width > 1:  # neighbours are added until a sum is one number
            low, high = (
                [i for i in range(2 * LANES) if (i % width < width // 2) is of_low] for of_low in (True, False)
            )
            if width > 2:
                pairs = zip(sums[::2], sums[1::2], strict=True)
                sums = [
                    builder.fadd(*(_shuffle(builder, a, half, b) for half in (low, high)), flags=_FAST)
                    for a, b in pairs
                ]
            else:
                halves = (_shuffle(builder, sums[0], half[:ROWS]) for half in (low, high))
                sums = [builder.fadd(*halves, flags=_FAST)]
            width //= 2
        store(builder, sums[0], _offset(builder, scores, _i64(ROWS), block))
        return []

    blocks = builder.sdiv(builder.add(count, _i64(ROWS - 1)), _i64(ROWS))
    loop(builder, blocks, [], eight)


def _accumulate_values(stored: _Storage, side: int, builder: Any, weights: Any, values: Any, count: Any, distance: Any, ahead: Any,
          heard: Any) -> None:  # fmt: skip
    """So many vectors side by side of `count` stored values, weighed: added to what is heard. Values have such a
    distance in bytes; what is stored `ahead` in the same way is fetched meanwhile.
    """
    places = [_offset(builder, heard, _i64(LANES), _i64(vector)) for vector in range(side)]

    def once(step: Any, sums: Sequence[Any]) -> list[Any]:
        at = builder.mul(step, distance)
        _prefetch_bytes(builder, builder.add(ahead, at), side * stored.size.constant)
        weight = broadcast(builder, load(builder, F32, _offset(builder, weights, _i64(1), step)), LANES)
        address = builder.add(values, at)
        known = [stored.load(builder, builder.add(address, builder.mul(stored.size, _i64(i)))) for i in range(side)]
        return [_mul_add(builder, weight, value, total) for value, total in zip(known, sums, strict=True)]

    begun = [load(builder, _F32X16, place) for place in places]
    for total, place in zip(loop(builder, count, begun, once), places, strict=True):
        store(builder, total, place)


def _elu(builder: Any, x: Any, count: Any, into: Any) -> None:
    """`16 * count` numbers: max(x, e^x - 1)."""

    def once(step: Any, _: Sequence[Any]) -> list[Any]:
        numbers = load(builder, _F32X16, _offset(builder, x, _i64(LANES), step))
        negative = builder.fcmp_ordered("<", numbers, _splat(0.0), flags=_FAST)
        power = _exp(builder, builder.select(negative, numbers, _splat(0.0)))
        activated = _max(builder, numbers, builder.fsub(power, _splat(1.0), flags=_FAST))
        store(builder, activated, _offset(builder, into, _i64(LANES), step))
        return []

    loop(builder, count, [], once)


def _quantize(builder: Any, x: Any, count: Any, least: Any, finer: Any, into: Any) -> None:
    """`16 * count` numbers to levels, bytes: so many times `finer` as they are above the `least`, 255 at most."""
    low, factor = (broadcast(builder, load(builder, F32, address), LANES) for address in (least, finer))

    def once(step: Any, _: Sequence[Any]) -> list[Any]:
        numbers = load(builder, _F32X16, _offset(builder, x, _i64(LANES), step))
        above = _mul_add(builder, builder.fsub(numbers, low, flags=_FAST), factor, _splat(0.5))
        level = builder.fptosi(above, _I32X16)
        level = builder.select(builder.icmp_unsigned("<", level, _splat(255)), level, _splat(255))
        levels = builder.trunc(level, ir.VectorType(I8, LANES))
        store(builder, levels, builder.add(into, builder.mul(step, _i64(LANES))), align=1)
        return []

    loop(builder, count, [], once)


def _exp(builder: Any, x: Any) -> Any:
    """Of what is not above zero: so the power is cut off where it is rounded in `loops.exp`, which is cheaper."""
    x = builder.fmul(_max(builder, x, _splat(EXP_MIN)), _splat(LOG2_E), flags=_FAST)
    whole = builder.fptosi(builder.fsub(x, _splat(0.5), flags=_FAST), _I32X16)
    part = builder.fsub(x, builder.sitofp(whole, _F32X16), flags=_FAST)
    power = _splat(EXP2_POLYNOMIAL[0])
    for factor in EXP2_POLYNOMIAL[1:]:
        power = _mul_add(builder, power, part, _splat(factor))
    bits = builder.add(builder.bitcast(power, _I32X16), builder.shl(whole, _splat(MANTISSA_BITS)))
    return builder.bitcast(bits, _F32X16)


def _prefetch_lines(builder: Any, address: Any, count: Any) -> None:
    """One after the other."""

    def once(step: Any, _: Sequence[Any]) -> list[Any]:
        prefetch(builder, builder.add(address, builder.mul(step, _i64(CACHE_LINE_BYTES))))
        return []

    loop(builder, count, [], once)


def _prefetch_bytes(builder: Any, address: Any, size: int) -> None:
    for line in range(0, size, CACHE_LINE_BYTES):
        prefetch(builder, builder.add(address, _i64(line)))


matmul_8x16, rope, softmax, softmax_single = (
    _kernel(each) for each in (_matmul_8x16, _rope, _softmax, _softmax_single)
)
elu, quantize, prefetch_lines = (_kernel(each) for each in (_elu, _quantize, _prefetch_lines))
qk_scores_bfloat16, qk_scores_float32 = (_kernel(partial(_qk_scores, stored)) for stored in (_BFLOAT16, _FLOAT32))
accumulate_values_bfloat16, accumulate_values_float32 = (
    _kernel(partial(_accumulate_values, stored, 1)) for stored in (_BFLOAT16, _FLOAT32)
)
accumulate_values_x4_bfloat16, accumulate_values_x4_float32 = (
    _kernel(partial(_accumulate_values, stored, 4)) for stored in (_BFLOAT16, _FLOAT32)
)

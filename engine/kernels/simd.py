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

from sayline_tts.engine.kernels.ir_builder import BYTE, INDEX, LINE, NUMBER, WORD, everywhere, load, repeat, store
from sayline_tts.engine.kernels.ir_builder import fetch as fetch_line

COLUMNS, ROWS = 16, 8  # of a product
LOG2_E = 1.4426950408889634
LOWEST = -87.0  # e to this is the smallest float32 that is not denormal
MANTISSA_BITS = 23
# 2^x for x in [-0.5, 0.5] to 1e-7: a minimax polynomial, highest power first.
POWERS = (1.535336188e-4, 1.339887441e-3, 9.618437358e-3, 5.550332471e-2, 2.402264791e-1, 6.931472029e-1, 1.0)
UNSEEN = -1e30  # less than any score

_VECTOR, _WORDS = ir.VectorType(NUMBER, COLUMNS), ir.VectorType(WORD, COLUMNS)
_FAST = ("fast",)


def _written(write: Callable[..., None]) -> Any:
    """For Numba: a function of integers without a result, which `write(builder, *arguments)` says in LLVM."""

    def typed(typing: Any, *kinds: Any) -> Any:
        def generate(context: Any, builder: Any, signed: Any, arguments: Any) -> Any:
            write(builder, *arguments)
            return context.get_dummy_value()

        return types.void(*[types.int64] * len(kinds)), generate

    typed.__signature__ = signature(write)  # type: ignore[attr-defined]  # Numba looks at the names of arguments
    return intrinsic(typed)


def _place(builder: Any, base: Any, distance: Any, times: Any) -> Any:
    """Of a number or a word so many distances behind the base."""
    return builder.add(base, builder.mul(builder.mul(distance, times), _index(4)))


def _index(number: int) -> Any:
    return ir.Constant(INDEX, number)


def _all(number: Any) -> Any:
    """A vector of one number."""
    kind = NUMBER if isinstance(number, float) else WORD
    return ir.Constant(ir.VectorType(kind, COLUMNS), [number] * COLUMNS)


def _chosen(builder: Any, vector: Any, places: Sequence[int], other: Any = None) -> Any:
    """Numbers of a vector, or of two as if they were one."""
    other = ir.Constant(vector.type, ir.Undefined) if other is None else other
    return builder.shuffle_vector(vector, other, ir.Constant(ir.VectorType(WORD, len(places)), list(places)))


def _greater(builder: Any, a: Any, b: Any) -> Any:
    return builder.select(builder.fcmp_ordered(">", a, b, flags=_FAST), a, b)


def _plus_product(builder: Any, a: Any, b: Any, c: Any) -> Any:
    return builder.fadd(builder.fmul(a, b, flags=_FAST), c, flags=_FAST)


def _multiply(
    builder: Any, a: Any, a_row: Any, a_step: Any, b: Any, b_step: Any, c: Any, c_row: Any, count: Any
) -> None:
    """`c[row, :16] += sum of a[row, step] * b[step, :16]` for eight rows and `count` steps.

    Distances between rows and between steps are in numbers. The sums are registers.
    """
    rows = [_index(row) for row in range(ROWS)]
    of_a, of_c = [_place(builder, a, a_row, row) for row in rows], [_place(builder, c, c_row, row) for row in rows]

    def once(step: Any, sums: Sequence[Any]) -> list[Any]:
        right = load(builder, _VECTOR, _place(builder, b, b_step, step))
        left = [load(builder, NUMBER, _place(builder, address, a_step, step)) for address in of_a]
        return [
            _plus_product(builder, everywhere(builder, one, COLUMNS), right, all_)
            for one, all_ in zip(left, sums, strict=True)
        ]

    begun = [load(builder, _VECTOR, address) for address in of_c]
    for total, address in zip(repeat(builder, count, begun, once), of_c, strict=True):
        store(builder, total, address)


def _turn(builder: Any, x: Any, by: Any, count: Any) -> None:
    """`16 * count` numbers of `x`, pair by pair, by a cosine and a sine each."""

    def once(step: Any, _: Sequence[Any]) -> list[Any]:
        at = _place(builder, x, _index(COLUMNS), step)
        numbers = load(builder, _VECTOR, at)
        angles = load(builder, _VECTOR, _place(builder, by, _index(COLUMNS), step))
        cosines = _chosen(builder, angles, [i - i % 2 for i in range(COLUMNS)])
        sines = _chosen(builder, angles, [i - i % 2 + 1 for i in range(COLUMNS)])
        signed = builder.fmul(sines, ir.Constant(_VECTOR, [-1.0, 1.0] * (COLUMNS // 2)), flags=_FAST)
        others = _chosen(builder, numbers, [i + 1 - 2 * (i % 2) for i in range(COLUMNS)])
        turned = _plus_product(builder, others, signed, builder.fmul(numbers, cosines, flags=_FAST))
        store(builder, turned, at)
        return []

    repeat(builder, count, [], once)


def _weigh(builder: Any, scores: Any, count: Any, begins: Any, ends: Any, sums: Any) -> None:
    """Scores `[count, 16]` to weights, not yet divided by their sums `[16]`. Each column sees the positions between
    `begins` and `ends`, `[16]` of int32, and something of them.
    """
    begin, end = load(builder, _WORDS, begins), load(builder, _WORDS, ends)

    def seen(step: Any, numbers: Any, otherwise: float) -> Any:
        position = everywhere(builder, builder.trunc(step, WORD), COLUMNS)
        after, before = builder.icmp_signed(">=", position, begin), builder.icmp_signed("<", position, end)
        return builder.select(builder.and_(after, before), numbers, _all(otherwise))

    store(builder, _weighed(builder, scores, count, seen, lambda most: most), sums)


def _weigh_one(builder: Any, scores: Any, count: Any, total: Any) -> None:
    """`16 * count` scores to weights, not yet divided by their `total`."""

    def seen(step: Any, numbers: Any, otherwise: float) -> Any:
        return numbers

    sums = _weighed(builder, scores, count, seen, lambda most: _across(builder, most, partial(_greater, builder)))
    sums = _across(builder, sums, partial(builder.fadd, flags=_FAST))
    store(builder, builder.extract_element(sums, ir.Constant(WORD, 0)), total)


def _weighed(builder: Any, scores: Any, count: Any, seen: Callable[..., Any], highest: Callable[[Any], Any]) -> Any:
    """Scores `[count, 16]` to weights, of what is `seen`; the sums of their columns. `highest`: the score that becomes
    one, for each column, of the greatest in each.
    """

    def at(step: Any) -> Any:
        return _place(builder, scores, _index(COLUMNS), step)

    def greatest(step: Any, most: Sequence[Any]) -> list[Any]:
        return [_greater(builder, seen(step, load(builder, _VECTOR, at(step)), UNSEEN), most[0])]

    def weighed(step: Any, sums: Sequence[Any]) -> list[Any]:
        under = builder.fsub(load(builder, _VECTOR, at(step)), most, flags=_FAST)
        weight = seen(step, _exp(builder, under), 0.0)  # not e^-87: that is denormal in products
        store(builder, weight, at(step))
        return [builder.fadd(sums[0], weight, flags=_FAST)]

    most = highest(repeat(builder, count, [_all(UNSEEN)], greatest)[0])
    return repeat(builder, count, [_all(0.0)], weighed)[0]


def _across(builder: Any, vector: Any, two: Callable[[Any, Any], Any]) -> Any:
    """What `two` makes of all numbers of a vector, in each place."""
    for distance in (8, 4, 2, 1):
        vector = two(vector, _chosen(builder, vector, [i ^ distance for i in range(COLUMNS)]))
    return vector


class _Stored(NamedTuple):
    """How keys and values are stored."""

    size: Any  # of sixteen, in bytes
    load: Callable[[Any, Any], Any]  # sixteen at an address, as float32


def _widened(builder: Any, address: Any) -> Any:
    halves = load(builder, ir.VectorType(ir.IntType(16), COLUMNS), address)
    return builder.bitcast(builder.shl(builder.zext(halves, _WORDS), _all(16)), _VECTOR)


_BFLOAT16 = _Stored(_index(2 * COLUMNS), _widened)
_FLOAT32 = _Stored(_index(4 * COLUMNS), lambda builder, address: load(builder, _VECTOR, address))


def _score(
    stored: _Stored, builder: Any, query: Any, vectors: Any, keys: Any, count: Any, ahead: Any, scores: Any
) -> None:
    """A query of so many vectors times `count` stored keys, eight at once: there is room for seven scores more.

    What is stored `ahead` in the same way is fetched meanwhile.
    """
    size, last = builder.mul(vectors, stored.size), builder.sub(count, _index(1))

    def eight(block: Any, _: Sequence[Any]) -> list[Any]:
        first = builder.mul(block, _index(ROWS))
        each = [builder.add(first, _index(row)) for row in range(ROWS)]
        each = [builder.select(builder.icmp_signed("<", one, last), one, last) for one in each]
        of_each = [builder.add(keys, builder.mul(one, size)) for one in each]
        soon = builder.add(ahead, builder.mul(first, size))

        def once(step: Any, sums: Sequence[Any]) -> list[Any]:
            part = load(builder, _VECTOR, _place(builder, query, _index(COLUMNS), step))
            at = builder.mul(step, stored.size)
            _fetch_some(builder, builder.add(soon, builder.mul(at, _index(ROWS))), ROWS * stored.size.constant)
            known = [stored.load(builder, builder.add(address, at)) for address in of_each]
            return [_plus_product(builder, part, key, total) for key, total in zip(known, sums, strict=True)]

        sums, width = list(repeat(builder, vectors, [_all(0.0)] * ROWS, once)), COLUMNS
        while width > 1:  # neighbours are added until a sum is one number
            low, high = (
                [i for i in range(2 * COLUMNS) if (i % width < width // 2) is of_low] for of_low in (True, False)
            )
            if width > 2:
                pairs = zip(sums[::2], sums[1::2], strict=True)
                sums = [
                    builder.fadd(*(_chosen(builder, a, half, b) for half in (low, high)), flags=_FAST) for a, b in pairs
                ]
            else:
                halves = (_chosen(builder, sums[0], half[:ROWS]) for half in (low, high))
                sums = [builder.fadd(*halves, flags=_FAST)]
            width //= 2
        store(builder, sums[0], _place(builder, scores, _index(ROWS), block))
        return []

    blocks = builder.sdiv(builder.add(count, _index(ROWS - 1)), _index(ROWS))
    repeat(builder, blocks, [], eight)


def _hear(stored: _Stored, side: int, builder: Any, weights: Any, values: Any, count: Any, distance: Any, ahead: Any,
          heard: Any) -> None:  # fmt: skip
    """So many vectors side by side of `count` stored values, weighed: added to what is heard. Values have such a
    distance in bytes; what is stored `ahead` in the same way is fetched meanwhile.
    """
    places = [_place(builder, heard, _index(COLUMNS), _index(vector)) for vector in range(side)]

    def once(step: Any, sums: Sequence[Any]) -> list[Any]:
        at = builder.mul(step, distance)
        _fetch_some(builder, builder.add(ahead, at), side * stored.size.constant)
        weight = everywhere(builder, load(builder, NUMBER, _place(builder, weights, _index(1), step)), COLUMNS)
        address = builder.add(values, at)
        known = [stored.load(builder, builder.add(address, builder.mul(stored.size, _index(i)))) for i in range(side)]
        return [_plus_product(builder, weight, value, total) for value, total in zip(known, sums, strict=True)]

    begun = [load(builder, _VECTOR, place) for place in places]
    for total, place in zip(repeat(builder, count, begun, once), places, strict=True):
        store(builder, total, place)


def _elu(builder: Any, x: Any, count: Any, into: Any) -> None:
    """`16 * count` numbers: max(x, e^x - 1)."""

    def once(step: Any, _: Sequence[Any]) -> list[Any]:
        numbers = load(builder, _VECTOR, _place(builder, x, _index(COLUMNS), step))
        negative = builder.fcmp_ordered("<", numbers, _all(0.0), flags=_FAST)
        power = _exp(builder, builder.select(negative, numbers, _all(0.0)))
        activated = _greater(builder, numbers, builder.fsub(power, _all(1.0), flags=_FAST))
        store(builder, activated, _place(builder, into, _index(COLUMNS), step))
        return []

    repeat(builder, count, [], once)


def _quantize(builder: Any, x: Any, count: Any, least: Any, finer: Any, into: Any) -> None:
    """`16 * count` numbers to levels, bytes: so many times `finer` as they are above the `least`, 255 at most."""
    low, factor = (everywhere(builder, load(builder, NUMBER, address), COLUMNS) for address in (least, finer))

    def once(step: Any, _: Sequence[Any]) -> list[Any]:
        numbers = load(builder, _VECTOR, _place(builder, x, _index(COLUMNS), step))
        above = _plus_product(builder, builder.fsub(numbers, low, flags=_FAST), factor, _all(0.5))
        level = builder.fptosi(above, _WORDS)
        level = builder.select(builder.icmp_unsigned("<", level, _all(255)), level, _all(255))
        levels = builder.trunc(level, ir.VectorType(BYTE, COLUMNS))
        store(builder, levels, builder.add(into, builder.mul(step, _index(COLUMNS))), align=1)
        return []

    repeat(builder, count, [], once)


def _exp(builder: Any, x: Any) -> Any:
    """Of what is not above zero: so the power is cut off where it is rounded in `loops.exp`, which is cheaper."""
    x = builder.fmul(_greater(builder, x, _all(LOWEST)), _all(LOG2_E), flags=_FAST)
    whole = builder.fptosi(builder.fsub(x, _all(0.5), flags=_FAST), _WORDS)
    part = builder.fsub(x, builder.sitofp(whole, _VECTOR), flags=_FAST)
    power = _all(POWERS[0])
    for factor in POWERS[1:]:
        power = _plus_product(builder, power, part, _all(factor))
    bits = builder.add(builder.bitcast(power, _WORDS), builder.shl(whole, _all(MANTISSA_BITS)))
    return builder.bitcast(bits, _VECTOR)


def _fetch_lines(builder: Any, address: Any, count: Any) -> None:
    """One after the other."""

    def once(step: Any, _: Sequence[Any]) -> list[Any]:
        fetch_line(builder, builder.add(address, builder.mul(step, _index(LINE))))
        return []

    repeat(builder, count, [], once)


def _fetch_some(builder: Any, address: Any, size: int) -> None:
    for line in range(0, size, LINE):
        fetch_line(builder, builder.add(address, _index(line)))


multiply, turn, weigh, weigh_one = (_written(each) for each in (_multiply, _turn, _weigh, _weigh_one))
elu, quantize, fetch = (_written(each) for each in (_elu, _quantize, _fetch_lines))
score_bfloat16, score_float32 = (_written(partial(_score, stored)) for stored in (_BFLOAT16, _FLOAT32))
hear_bfloat16, hear_float32 = (_written(partial(_hear, stored, 1)) for stored in (_BFLOAT16, _FLOAT32))
hear_four_bfloat16, hear_four_float32 = (_written(partial(_hear, stored, 4)) for stored in (_BFLOAT16, _FLOAT32))

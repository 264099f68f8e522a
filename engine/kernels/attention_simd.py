"""Vector kernels of attention: rotary embedding, scores, softmax, weighted sums, small matrix products.

All arguments are addresses of float32, or counts, unless stated otherwise.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

from llvmlite import ir

from sayline_tts.engine.kernels.elementwise import emit_exp
from sayline_tts.engine.kernels.ir_builder import (
    CACHE_LINE_BYTES,
    F32,
    F32X16,
    FAST,
    I16,
    I32,
    I32X16,
    LANES,
    address_kernel,
    broadcast,
    constant,
    i64,
    load,
    loop,
    maximum,
    multiply_add,
    offset,
    prefetch,
    prefetch_bytes,
    reduce,
    shuffle,
    store,
)

ROWS = 8  # of `matmul_8x16`; keys that `qk_scores` takes at once
MASKED_SCORE = -1e30  # less than any score


def _matmul_8x16(
    builder: Any, a: Any, a_row: Any, a_step: Any, b: Any, b_step: Any, c: Any, c_row: Any, count: Any
) -> None:
    """`c[row, :16] += sum over count steps of a[row, step] * b[step, :16]` for eight rows, with sums in registers.

    Strides are in elements. Nine arguments: two matrices have two strides each, and a struct of them would have to be
    built for each of many small products.
    """
    rows = [i64(row) for row in range(ROWS)]
    a_rows, c_rows = [offset(builder, a, a_row, row) for row in rows], [offset(builder, c, c_row, row) for row in rows]

    def body(step: Any, sums: Sequence[Any]) -> list[Any]:
        right = load(builder, F32X16, offset(builder, b, b_step, step))
        left = [load(builder, F32, offset(builder, address, a_step, step)) for address in a_rows]
        return [
            multiply_add(builder, broadcast(builder, value), right, total)
            for value, total in zip(left, sums, strict=True)
        ]

    initial = [load(builder, F32X16, address) for address in c_rows]
    for total, address in zip(loop(builder, count, initial, body), c_rows, strict=True):
        store(builder, total, address)


def _rope(builder: Any, x: Any, cos_sin: Any, count: Any) -> None:
    """Rotate `16 * count` floats in place, pair by pair; `cos_sin` holds a cosine and a sine for each pair."""

    def body(step: Any, _: Sequence[Any]) -> list[Any]:
        address = offset(builder, x, i64(LANES), step)
        values = load(builder, F32X16, address)
        angles = load(builder, F32X16, offset(builder, cos_sin, i64(LANES), step))
        cosines = shuffle(builder, angles, [i - i % 2 for i in range(LANES)])
        sines = shuffle(builder, angles, [i - i % 2 + 1 for i in range(LANES)])
        signed_sines = builder.fmul(sines, ir.Constant(F32X16, [-1.0, 1.0] * (LANES // 2)), flags=FAST)
        partners = shuffle(builder, values, [i + 1 - 2 * (i % 2) for i in range(LANES)])
        rotated = multiply_add(builder, partners, signed_sines, builder.fmul(values, cosines, flags=FAST))
        store(builder, rotated, address)
        return []

    loop(builder, count, [], body)


def _softmax(builder: Any, scores: Any, count: Any, begins: Any, ends: Any, sums: Any) -> None:
    """Softmax of each column of scores `[count, 16]` in place, without the division; the divisors go to `sums` `[16]`.

    A column sees positions from `begins` to `ends`, int32 `[16]`, at least one of them; other weights become 0.
    """
    begin, end = load(builder, I32X16, begins), load(builder, I32X16, ends)

    def masked(step: Any, values: Any, otherwise: float) -> Any:
        position = broadcast(builder, builder.trunc(step, I32))
        after, before = builder.icmp_signed(">=", position, begin), builder.icmp_signed("<", position, end)
        return builder.select(builder.and_(after, before), values, constant(F32X16, otherwise))

    store(builder, _softmax_columns(builder, scores, count, masked, lambda peak: peak), sums)


def _softmax_single(builder: Any, scores: Any, count: Any, total: Any) -> None:
    """Softmax of `16 * count` scores of one query in place, without the division; the divisor goes to `total`."""

    def masked(step: Any, values: Any, otherwise: float) -> Any:
        return values

    overall = partial(reduce, builder, combine=partial(maximum, builder))
    sums = _softmax_columns(builder, scores, count, masked, overall)
    sums = reduce(builder, sums, partial(builder.fadd, flags=FAST))
    store(builder, builder.extract_element(sums, ir.Constant(I32, 0)), total)


def _softmax_columns(
    builder: Any, scores: Any, count: Any, masked: Callable[..., Any], peak_of: Callable[[Any], Any]
) -> Any:
    """exp(score - peak) of scores `[count, 16]` in place; returns the sums of the columns.

    `masked(step, values, otherwise)` replaces invisible values; `peak_of` maps the maxima of the columns to what is
    subtracted.
    """

    def address(step: Any) -> Any:
        return offset(builder, scores, i64(LANES), step)

    def find_peak(step: Any, peak: Sequence[Any]) -> list[Any]:
        return [maximum(builder, masked(step, load(builder, F32X16, address(step)), MASKED_SCORE), peak[0])]

    def exponentiate(step: Any, sums: Sequence[Any]) -> list[Any]:
        below_peak = builder.fsub(load(builder, F32X16, address(step)), peak, flags=FAST)
        # 0 where masked: e^-87 would make denormal products.
        weight = masked(step, emit_exp(builder, below_peak, nonpositive=True), 0.0)
        store(builder, weight, address(step))
        return [builder.fadd(sums[0], weight, flags=FAST)]

    peak = peak_of(loop(builder, count, [constant(F32X16, MASKED_SCORE)], find_peak)[0])
    return loop(builder, count, [constant(F32X16, 0.0)], exponentiate)[0]


class _Storage(NamedTuple):
    """How keys and values are stored."""

    vector_bytes: int  # of 16 numbers
    load: Callable[[Any, Any], Any]  # of 16 numbers at an address, as float32


def _load_bfloat16(builder: Any, address: Any) -> Any:
    halves = load(builder, ir.VectorType(I16, LANES), address)
    return builder.bitcast(builder.shl(builder.zext(halves, I32X16), constant(I32X16, 16)), F32X16)


_BFLOAT16 = _Storage(2 * LANES, _load_bfloat16)
_FLOAT32 = _Storage(4 * LANES, lambda builder, address: load(builder, F32X16, address))


def _qk_scores(
    storage: _Storage, builder: Any, query: Any, vectors: Any, keys: Any, count: Any, ahead: Any, scores: Any
) -> None:
    """Dot products of a query of so many vectors with `count` stored keys, eight at once.

    Up to seven scores behind the last are overwritten. Prefetches what is stored in the same layout at `ahead`.
    """
    size, last = builder.mul(vectors, i64(storage.vector_bytes)), builder.sub(count, i64(1))

    def eight_keys(block: Any, _: Sequence[Any]) -> list[Any]:
        first = builder.mul(block, i64(ROWS))
        indices = [builder.add(first, i64(row)) for row in range(ROWS)]
        indices = [builder.select(builder.icmp_signed("<", each, last), each, last) for each in indices]
        addresses = [builder.add(keys, builder.mul(each, size)) for each in indices]
        soon = builder.add(ahead, builder.mul(first, size))

        def body(step: Any, sums: Sequence[Any]) -> list[Any]:
            part = load(builder, F32X16, offset(builder, query, i64(LANES), step))
            at = builder.mul(step, i64(storage.vector_bytes))
            prefetch_bytes(builder, builder.add(soon, builder.mul(at, i64(ROWS))), ROWS * storage.vector_bytes)
            parts = [storage.load(builder, builder.add(address, at)) for address in addresses]
            return [multiply_add(builder, part, key, total) for key, total in zip(parts, sums, strict=True)]

        sums = loop(builder, vectors, [constant(F32X16, 0.0)] * ROWS, body)
        store(builder, _sum_each(builder, sums), offset(builder, scores, i64(ROWS), block))
        return []

    blocks = builder.sdiv(builder.add(count, i64(ROWS - 1)), i64(ROWS))
    loop(builder, blocks, [], eight_keys)


def _sum_each(builder: Any, vectors: Sequence[Any]) -> Any:
    """Sum the lanes of each of eight vectors, by adding neighbours in a tree of shuffles: a vector of eight sums."""
    sums, width = list(vectors), LANES
    while width > 1:
        low, high = ([i for i in range(2 * LANES) if (i % width < width // 2) is is_low] for is_low in (True, False))
        if width > 2:
            pairs = zip(sums[::2], sums[1::2], strict=True)
            sums = [builder.fadd(*(shuffle(builder, a, half, b) for half in (low, high)), flags=FAST) for a, b in pairs]
        else:
            halves = (shuffle(builder, sums[0], half[:ROWS]) for half in (low, high))
            sums = [builder.fadd(*halves, flags=FAST)]
        width //= 2
    return sums[0]


def _accumulate_values(
    storage: _Storage, unroll: int, builder: Any, weights: Any, values: Any, count: Any, stride: Any, ahead: Any,
    out: Any,
) -> None:  # fmt: skip
    """Add `weights[i] * values[i]` of `count` stored values to `out`: `unroll` vectors side by side, in registers.

    `stride` between values is in bytes. Prefetches what is stored in the same layout at `ahead`. The first three of the
    nine arguments are bound when the kernels below are made.
    """
    addresses = [offset(builder, out, i64(LANES), i64(vector)) for vector in range(unroll)]

    def body(step: Any, sums: Sequence[Any]) -> list[Any]:
        at = builder.mul(step, stride)
        prefetch_bytes(builder, builder.add(ahead, at), unroll * storage.vector_bytes)
        weight = broadcast(builder, load(builder, F32, offset(builder, weights, i64(1), step)))
        address = builder.add(values, at)
        parts = [storage.load(builder, builder.add(address, i64(i * storage.vector_bytes))) for i in range(unroll)]
        return [multiply_add(builder, weight, value, total) for value, total in zip(parts, sums, strict=True)]

    initial = [load(builder, F32X16, address) for address in addresses]
    for total, address in zip(loop(builder, count, initial, body), addresses, strict=True):
        store(builder, total, address)


def _prefetch_lines(builder: Any, address: Any, count: Any) -> None:
    """Prefetch `count` consecutive cache lines."""

    def body(step: Any, _: Sequence[Any]) -> list[Any]:
        prefetch(builder, builder.add(address, builder.mul(step, i64(CACHE_LINE_BYTES))))
        return []

    loop(builder, count, [], body)


matmul_8x16, rope, prefetch_lines = (address_kernel(each) for each in (_matmul_8x16, _rope, _prefetch_lines))
softmax, softmax_single = address_kernel(_softmax), address_kernel(_softmax_single)
qk_scores_bfloat16, qk_scores_float32 = (
    address_kernel(partial(_qk_scores, storage)) for storage in (_BFLOAT16, _FLOAT32)
)
accumulate_values_bfloat16, accumulate_values_float32 = (
    address_kernel(partial(_accumulate_values, storage, 1)) for storage in (_BFLOAT16, _FLOAT32)
)
accumulate_values_x4_bfloat16, accumulate_values_x4_float32 = (
    address_kernel(partial(_accumulate_values, storage, 4)) for storage in (_BFLOAT16, _FLOAT32)
)

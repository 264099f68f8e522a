"""The int8 microkernel: a few rows of quantized inputs times one panel of weights, with sums in registers.

A panel is `nr` outputs side by side: for each group of four inputs, four weights of every output, as the dot-product
instructions take them.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from sayline_tts.engine.kernels.ir_builder import (
    CACHE_LINE_BYTES,
    CONTRACT,
    F32,
    I8,
    I16,
    I32,
    broadcast,
    call,
    i64,
    load,
    loop,
    prefetch,
    store,
)
from sayline_tts.engine.kernels.isa import AVX2, Isa
from sayline_tts.engine.kernels.numba_internals import element, void_result

INPUTS_PER_DOT = 4  # inputs that one dot-product instruction takes
PREFETCH_AHEAD_BYTES = 2048  # distance at which a single row prefetches its own panel


class Tile(NamedTuple):
    """Arguments of a microkernel: addresses, and strides in bytes."""

    q_x: int  # uint8 [rows, inputs]
    q_x_stride: int
    panel: int  # int8 [k_groups, nr, INPUTS_PER_DOT]
    epilogue: int  # float32 [3, nr]: of each output its weights' scale, scale times their sum, and the bias
    scale_x: int  # float32 [rows]
    min_x: int  # float32 [rows]
    y: int  # float32 [rows, nr]
    y_stride: int
    prefetched: int  # what to prefetch while multiplying, and the step from one group of inputs to the next
    prefetch_stride: int
    k_groups: int


def _accumulate_dot(builder: Any, isa: Isa, total: Any, x: Any, w: Any) -> Any:
    """`total` plus, in each lane, the dot product of four unsigned inputs and four signed weights."""
    vector, lanes = total.type, isa.lanes
    if isa.has_vnni:
        return call(builder, f"llvm.x86.avx512.vpdpbusd.{32 * lanes}", vector, total, x, w)
    bytes_ = ir.VectorType(I8, 4 * lanes)
    x, w = builder.bitcast(x, bytes_), builder.bitcast(w, bytes_)
    if isa.name == AVX2.name:
        words = ir.VectorType(I16, 2 * lanes)
        pairs = call(builder, "llvm.x86.avx2.pmadd.ub.sw", words, x, w)
        ones = ir.Constant(words, [1] * (2 * lanes))
        return builder.add(total, call(builder, "llvm.x86.avx2.pmadd.wd", vector, pairs, ones))
    wide = ir.VectorType(I32, 4 * lanes)
    products = builder.mul(builder.zext(x, wide), builder.sext(w, wide))
    for first in range(INPUTS_PER_DOT):
        every_fourth = ir.Constant(vector, list(range(first, 4 * lanes, INPUTS_PER_DOT)))
        total = builder.add(total, builder.shuffle_vector(products, products, every_fourth))
    return total


def int8_microkernel(isa: Isa, mr: int, prefetched_lines: int = 2) -> Any:
    """A Numba function of a `Tile`: y = s_x s_w sum(q_x q_w) + m_x s_w sum(q_w) + b for `mr` rows and one panel.

    With each group of four inputs it prefetches `prefetched_lines` cache lines; a single row prefetches its own panel.
    """
    vectors = range(isa.vectors)
    integers, floats = ir.VectorType(I32, isa.lanes), ir.VectorType(F32, isa.lanes)
    vector_bytes = 4 * isa.lanes
    panel_step = i64(vector_bytes * len(vectors))

    def emit(builder: Any, tile: Tile) -> None:
        def offset(base: Any, stride: Any, count: Any, more: int = 0) -> Any:
            return builder.add(builder.add(base, builder.mul(stride, count)), i64(more))

        rows = [offset(tile.q_x, tile.q_x_stride, i64(row)) for row in range(mr)]

        def body(group: Any, sums: Sequence[Any]) -> list[Any]:
            w = [load(builder, integers, offset(tile.panel, group, panel_step, vector_bytes * v), 1) for v in vectors]
            if mr == 1:
                for line in range(0, vector_bytes * len(vectors), CACHE_LINE_BYTES):
                    prefetch(builder, offset(tile.panel, group, panel_step, PREFETCH_AHEAD_BYTES + line))
            else:
                for line in range(prefetched_lines):
                    prefetch(builder, offset(tile.prefetched, group, tile.prefetch_stride, line * CACHE_LINE_BYTES), 2)
            results = []
            for row, address in enumerate(rows):
                x = load(builder, I32, offset(address, group, i64(INPUTS_PER_DOT)), 1)
                x = broadcast(builder, x, isa.lanes)
                row_sums = sums[row * len(vectors) : (row + 1) * len(vectors)]
                results += [_accumulate_dot(builder, isa, row_sums[v], x, w[v]) for v in vectors]
            return results

        zeros = [ir.Constant(integers, None)] * (mr * len(vectors))
        sums = loop(builder, tile.k_groups, zeros, body)
        _store_scaled(
            builder, tile, [sums[first : first + len(vectors)] for first in range(0, len(sums), len(vectors))], floats
        )

    def typing(context: Any, tile: Any) -> Any:
        def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            emit(builder, Tile(*(element(builder, arguments[0], i) for i in range(len(Tile._fields)))))
            return void_result(context)

        return types.void(tile), codegen

    return intrinsic(typing)


def _store_scaled(builder: Any, tile: Tile, sums: Sequence[Sequence[Any]], floats: Any) -> None:
    """Scale the sums `[mr][vectors]` back to float32 and store them."""
    vector_bytes = 4 * floats.count
    vectors = range(len(sums[0]))

    def at(base: Any, distance: int) -> Any:
        return builder.add(base, i64(distance))

    epilogue = [
        [load(builder, floats, at(tile.epilogue, vector_bytes * (len(vectors) * kind + v))) for kind in range(3)]
        for v in vectors
    ]
    for row, row_sums in enumerate(sums):
        scale_x, min_x = (
            broadcast(builder, load(builder, F32, at(address, 4 * row)), floats.count)
            for address in (tile.scale_x, tile.min_x)
        )
        y = builder.add(tile.y, builder.mul(tile.y_stride, i64(row)))
        for v in vectors:
            scale_w, scaled_sum_w, bias = epilogue[v]
            product = builder.fmul(builder.sitofp(row_sums[v], floats), scale_w, flags=CONTRACT)
            zero_point = builder.fadd(builder.fmul(min_x, scaled_sum_w, flags=CONTRACT), bias, flags=CONTRACT)
            result = builder.fadd(builder.fmul(product, scale_x, flags=CONTRACT), zero_point, flags=CONTRACT)
            store(builder, result, at(y, vector_bytes * v))

"""A few rows of bytes times a panel of weights, in registers: code that we write for LLVM.

A panel is so many outputs side by side, four inputs of each behind one another, as its instruction wants them.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

from llvmlite import ir
from numba import types
from numba.core.registry import cpu_target
from numba.extending import intrinsic

from sayline_tts.engine.kernels.ir_builder import (
    CACHE_LINE_BYTES,
    F32,
    I32,
    I64,
    broadcast,
    load,
    loop,
    prefetch,
    store,
)

INPUTS_PER_DOT = 4  # inputs that one instruction takes
PREFETCH_AHEAD_BYTES = 2048  # bytes: where weights of a single row are fetched beforehand


class Isa(NamedTuple):
    """How this processor adds products of bytes."""

    feature: str
    lanes: int  # sums in one register
    vectors: int  # such registers side by side in a panel
    mr: int  # times so many rows are all the registers there are
    max_weight: float  # greatest level of a weight: two products of it and 255 must not be cut off

    @property
    def nr(self) -> int:
        """Outputs of a panel."""
        return self.lanes * self.vectors

    @property
    def narrow(self) -> "Isa":
        """The same, for panels half as wide."""
        return self._replace(vectors=self.vectors // 2, mr=self.mr * 2)


AVX512_VNNI = Isa("avx512vnni", 16, 4, 6, 127)
AVX_VNNI = Isa("avxvnni", 8, 2, 6, 127)
AVX2 = Isa("avx2", 8, 2, 4, 63)  # adds two products in 16 bits
GENERIC = Isa("", 4, 4, 4, 127)


def best_isa(features: str) -> Isa:
    """Of those that a processor has, by LLVM's names: `+avx2,-sse4a`."""
    return next(
        each
        for each in (AVX512_VNNI, AVX_VNNI, AVX2, GENERIC)
        if not each.feature or f"+{each.feature}" in features.split(",")
    )


ACTIVE_ISA = best_isa(cpu_target.target_context.codegen().magic_tuple()[2])


def _dot_accumulate(builder: Any, isa: Isa, total: Any, q_x: Any, weights: Any) -> Any:
    """LLVM for `total` plus products: of four levels (unsigned) and four weights (signed) in each lane."""
    vector, lanes = total.type, isa.lanes

    def call(feature: str, result: Any, *arguments: Any) -> Any:
        kind = ir.FunctionType(result, [argument.type for argument in arguments])
        known = builder.module.globals.get(feature)
        return builder.call(known or ir.Function(builder.module, kind, feature), arguments)

    if isa.feature.endswith("vnni"):
        return call(f"llvm.x86.avx512.vpdpbusd.{32 * lanes}", vector, total, q_x, weights)
    bytes_ = ir.VectorType(ir.IntType(8), 4 * lanes)
    q_x, weights = builder.bitcast(q_x, bytes_), builder.bitcast(weights, bytes_)
    if isa is AVX2:
        words = ir.VectorType(ir.IntType(16), 2 * lanes)
        pairs = call("llvm.x86.avx2.pmadd.ub.sw", words, q_x, weights)
        ones = ir.Constant(words, [1] * (2 * lanes))
        return builder.add(total, call("llvm.x86.avx2.pmadd.wd", vector, pairs, ones))
    wide = ir.VectorType(ir.IntType(32), 4 * lanes)
    products = builder.mul(builder.zext(q_x, wide), builder.sext(weights, wide))
    for first in range(INPUTS_PER_DOT):
        places = ir.Constant(vector, list(range(first, 4 * lanes, INPUTS_PER_DOT)))
        total = builder.add(total, builder.shuffle_vector(products, products, places))
    return total


def int8_microkernel(isa: Isa, mr: int, prefetched_lines: int = 2) -> Any:
    """For Numba: so many rows of levels times one panel, scaled back.

    Addresses: of levels with the distance between rows, of the panel, its constants, the rows' scales and lows, of the
    result with its distance, of what to fetch meanwhile, so many `lines` with each group of four inputs, with the
    distance from one group to the next; and how many groups there are. A single row fetches its own panel.
    """
    lanes, vectors = isa.lanes, range(isa.vectors)
    integers, reals = ir.VectorType(I32, lanes), ir.VectorType(F32, lanes)
    size = 4 * lanes  # bytes of a register

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        q_x, q_x_stride, panel, epilogue, scale_x, min_x, y, y_stride, prefetch_address, prefetch_stride, k_groups = (
            arguments
        )

        def offset(base: Any, distance: Any, times: Any = None, more: int = 0) -> Any:
            distance = distance if times is None else builder.mul(distance, ir.Constant(I64, times))
            return builder.add(builder.add(base, distance), ir.Constant(I64, more))

        each = range(mr)
        row_starts = [offset(q_x, q_x_stride, row) for row in each]

        def body(group: Any, sums: Sequence[Any]) -> list[Any]:
            w = [load(builder, integers, offset(panel, group, size * len(vectors), size * v), 1) for v in vectors]
            if mr == 1:
                for line in range(0, size * len(vectors), CACHE_LINE_BYTES):
                    prefetch(builder, offset(panel, group, size * len(vectors), PREFETCH_AHEAD_BYTES + line))
            else:
                for line in range(prefetched_lines):
                    prefetch(
                        builder,
                        offset(prefetch_address, builder.mul(group, prefetch_stride), more=line * CACHE_LINE_BYTES),
                        2,
                    )
            sums_out = []
            for row, start in enumerate(row_starts):
                x = broadcast(builder, load(builder, I32, offset(start, group, INPUTS_PER_DOT), 1), lanes)
                row_sums = sums[row * len(vectors) : (row + 1) * len(vectors)]
                sums_out += [_dot_accumulate(builder, isa, row_sums[v], x, w[v]) for v in vectors]
            return sums_out

        zeros = [ir.Constant(integers, None)] * (mr * len(vectors))
        sums_out = loop(builder, k_groups, zeros, body)
        epilogue_vectors = [
            [
                load(builder, reals, offset(epilogue, ir.Constant(I64, size * (len(vectors) * kind + v))))
                for kind in range(3)
            ]
            for v in vectors
        ]
        for row in each:
            scale = broadcast(builder, load(builder, F32, offset(scale_x, ir.Constant(I64, 4 * row))), lanes)
            min_row = broadcast(builder, load(builder, F32, offset(min_x, ir.Constant(I64, 4 * row))), lanes)
            for v in vectors:
                weight_scale, weight_sum, bias = epilogue_vectors[v]
                product = builder.fmul(
                    builder.sitofp(sums_out[row * len(vectors) + v], reals), weight_scale, flags=("fast",)
                )
                zero_point_term = builder.fadd(
                    builder.fmul(min_row, weight_sum, flags=("fast",)), bias, flags=("fast",)
                )
                y_row = builder.fadd(builder.fmul(product, scale, flags=("fast",)), zero_point_term, flags=("fast",))
                store(builder, y_row, offset(y, y_stride, row, size * v))
        return context.get_dummy_value()

    def typing(context: Any, q_x: Any, q_x_stride: Any, panel: Any, epilogue: Any, scale_x: Any, min_x: Any, y: Any,
              y_stride: Any, prefetch_address: Any, prefetch_stride: Any, k_groups: Any) -> Any:  # fmt: skip
        return types.void(*[types.int64] * 11), generate

    return intrinsic(typing)

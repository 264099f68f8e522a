"""A few rows of bytes times a panel of weights, in registers: code that we write for LLVM.

A panel is so many outputs side by side, four inputs of each behind one another, as its instruction wants them.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

from llvmlite import ir
from numba import types
from numba.core.registry import cpu_target
from numba.extending import intrinsic

from sayline_tts.engine.kernels.ir_builder import INDEX, LINE, NUMBER, WORD, everywhere, fetch, load, repeat, store

GROUP = 4  # inputs that one instruction takes
AHEAD = 2048  # bytes: where weights of a single row are fetched beforehand


class Instruction(NamedTuple):
    """How this processor adds products of bytes."""

    name: str
    lanes: int  # sums in one register
    vectors: int  # such registers side by side in a panel
    rows: int  # times so many rows are all the registers there are
    most: float  # greatest level of a weight: two products of it and 255 must not be cut off

    @property
    def width(self) -> int:
        """Outputs of a panel."""
        return self.lanes * self.vectors

    @property
    def narrow(self) -> "Instruction":
        """The same, for panels half as wide."""
        return self._replace(vectors=self.vectors // 2, rows=self.rows * 2)


AVX512 = Instruction("avx512vnni", 16, 4, 6, 127)
AVX = Instruction("avxvnni", 8, 2, 6, 127)
PAIRS = Instruction("avx2", 8, 2, 4, 63)  # adds two products in 16 bits
ANY = Instruction("", 4, 4, 4, 127)


def best_instruction(features: str) -> Instruction:
    """Of those that a processor has, by LLVM's names: `+avx2,-sse4a`."""
    return next(each for each in (AVX512, AVX, PAIRS, ANY) if not each.name or f"+{each.name}" in features.split(","))


HERE = best_instruction(cpu_target.target_context.codegen().magic_tuple()[2])


def _add_bytes(builder: Any, instruction: Instruction, total: Any, levels: Any, weights: Any) -> Any:
    """LLVM for `total` plus products: of four levels (unsigned) and four weights (signed) in each lane."""
    vector, lanes = total.type, instruction.lanes

    def call(name: str, result: Any, *arguments: Any) -> Any:
        kind = ir.FunctionType(result, [argument.type for argument in arguments])
        known = builder.module.globals.get(name)
        return builder.call(known or ir.Function(builder.module, kind, name), arguments)

    if instruction.name.endswith("vnni"):
        return call(f"llvm.x86.avx512.vpdpbusd.{32 * lanes}", vector, total, levels, weights)
    bytes_ = ir.VectorType(ir.IntType(8), 4 * lanes)
    levels, weights = builder.bitcast(levels, bytes_), builder.bitcast(weights, bytes_)
    if instruction is PAIRS:
        words = ir.VectorType(ir.IntType(16), 2 * lanes)
        pairs = call("llvm.x86.avx2.pmadd.ub.sw", words, levels, weights)
        ones = ir.Constant(words, [1] * (2 * lanes))
        return builder.add(total, call("llvm.x86.avx2.pmadd.wd", vector, pairs, ones))
    wide = ir.VectorType(ir.IntType(32), 4 * lanes)
    products = builder.mul(builder.zext(levels, wide), builder.sext(weights, wide))
    for first in range(GROUP):
        places = ir.Constant(vector, list(range(first, 4 * lanes, GROUP)))
        total = builder.add(total, builder.shuffle_vector(products, products, places))
    return total


def tile(instruction: Instruction, rows: int, lines: int = 2) -> Any:
    """For Numba: so many rows of levels times one panel, scaled back.

    Addresses: of levels with the distance between rows, of the panel, its constants, the rows' scales and lows, of the
    result with its distance, of what to fetch meanwhile, so many `lines` with each group of four inputs, with the
    distance from one group to the next; and how many groups there are. A single row fetches its own panel.
    """
    lanes, vectors = instruction.lanes, range(instruction.vectors)
    integers, reals = ir.VectorType(WORD, lanes), ir.VectorType(NUMBER, lanes)
    size = 4 * lanes  # bytes of a register

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        levels, levels_step, panel, constants, scales, lows, y, y_step, ahead, ahead_step, groups = arguments

        def place(base: Any, distance: Any, times: Any = None, more: int = 0) -> Any:
            distance = distance if times is None else builder.mul(distance, ir.Constant(INDEX, times))
            return builder.add(builder.add(base, distance), ir.Constant(INDEX, more))

        each = range(rows)
        starts = [place(levels, levels_step, row) for row in each]

        def once(group: Any, sums: Sequence[Any]) -> list[Any]:
            right = [load(builder, integers, place(panel, group, size * len(vectors), size * v), 1) for v in vectors]
            if rows == 1:
                for line in range(0, size * len(vectors), LINE):
                    fetch(builder, place(panel, group, size * len(vectors), AHEAD + line))
            else:
                for line in range(lines):
                    fetch(builder, place(ahead, builder.mul(group, ahead_step), more=line * LINE), 2)
            added = []
            for row, start in enumerate(starts):
                left = everywhere(builder, load(builder, WORD, place(start, group, GROUP), 1), lanes)
                of_row = sums[row * len(vectors) : (row + 1) * len(vectors)]
                added += [_add_bytes(builder, instruction, of_row[v], left, right[v]) for v in vectors]
            return added

        nothing = [ir.Constant(integers, None)] * (rows * len(vectors))
        added = repeat(builder, groups, nothing, once)
        of_outputs = [
            [
                load(builder, reals, place(constants, ir.Constant(INDEX, size * (len(vectors) * kind + v))))
                for kind in range(3)
            ]
            for v in vectors
        ]
        for row in each:
            scale = everywhere(builder, load(builder, NUMBER, place(scales, ir.Constant(INDEX, 4 * row))), lanes)
            low = everywhere(builder, load(builder, NUMBER, place(lows, ir.Constant(INDEX, 4 * row))), lanes)
            for v in vectors:
                weight_scale, weight_sum, bias = of_outputs[v]
                product = builder.fmul(
                    builder.sitofp(added[row * len(vectors) + v], reals), weight_scale, flags=("fast",)
                )
                under = builder.fadd(builder.fmul(low, weight_sum, flags=("fast",)), bias, flags=("fast",))
                whole = builder.fadd(builder.fmul(product, scale, flags=("fast",)), under, flags=("fast",))
                store(builder, whole, place(y, y_step, row, size * v))
        return context.get_dummy_value()

    def typed(context: Any, levels: Any, levels_step: Any, panel: Any, constants: Any, scales: Any, lows: Any, y: Any,
              y_step: Any, ahead: Any, ahead_step: Any, groups: Any) -> Any:  # fmt: skip
        return types.void(*[types.int64] * 11), generate

    return intrinsic(typed)

"""Products with weights in int8: what comes in is quantized, multiplied and scaled back in one loop, compiled here.

What one output sees has 256 levels of its own, from its least number to its greatest, so a row never depends on its
company and silence is not measured by speech. Weights lie in panels: so many outputs side by side, four inputs of each
behind one another, as the processor's instruction for bytes wants them. A few rows times one panel are sums in
registers; meanwhile the next panel is fetched, since those of FlowLM come from memory and not from a cache.
"""

from typing import Any, NamedTuple

import numpy as np
from llvmlite import ir
from numba import boolean, float32, int8, int64, types, void
from numba.core.registry import cpu_target
from numba.extending import intrinsic

from engine.loops import HALF, ONE, ZERO, bare, compiled, exp, least_of, most_of, move

LEVELS, GREATEST = np.float32(255.0), np.uint32(255)
TINY = np.float32(1e-12)
NONE, GELU, SILU = 0, 1, 2
ACTIVATIONS = {None: NONE, "gelu": GELU, "silu": SILU}
# 2 * sqrt(2 / pi) and the cubic's factor: Hendrycks and Gimpel 2016, arXiv:1606.08415.
GELU_SLOPE, GELU_CUBIC = np.float32(1.5957691216057308), np.float32(0.044715)

BLOCK = 8192  # numbers that stay in the nearest cache while they are worked on
HELD = 72  # outputs whose levels are multiplied at once: a panel is read as often as there are so many
GROUP = 4  # inputs that one instruction takes
AHEAD = 2048  # bytes: where weights of a single row are fetched beforehand
LINE = 64  # bytes of a cache

_batch, _tails, _rows = float32[:, :, ::1], float32[:, :, :], float32[:, ::1]


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


class Weights(NamedTuple):
    """Of one product, packed."""

    panels: np.ndarray  # int8 [panels, inputs / 4 * width * 4]
    constants: np.ndarray  # float32 [panels, 3, width]: of each output its scale, the sum of its weights, its bias


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


def tile(instruction: Instruction, rows: int) -> Any:
    """For Numba: so many rows of levels times one panel, scaled back.

    Addresses: of levels with the distance between rows, of the panel, its constants, the rows' scales and lows, of the
    result with its distance, of what to fetch meanwhile; and how many groups of four inputs there are.
    """
    index, number, lanes = ir.IntType(64), ir.IntType(32), instruction.lanes
    real, integers = ir.FloatType(), ir.VectorType(number, lanes)
    reals, vectors = ir.VectorType(real, lanes), range(instruction.vectors)
    size = 4 * lanes  # bytes of a register

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        levels, levels_step, panel, constants, scales, lows, y, y_step, ahead, groups = arguments

        def place(base: Any, distance: Any, times: Any = None, more: int = 0) -> Any:
            distance = distance if times is None else builder.mul(distance, ir.Constant(index, times))
            return builder.add(builder.add(base, distance), ir.Constant(index, more))

        def pointer(address: Any, kind: Any) -> Any:
            return builder.inttoptr(address, kind.as_pointer())

        def load(address: Any, kind: Any) -> Any:
            return builder.load(pointer(address, kind), align=4 if kind in (real, reals) else 1)

        def everywhere(one: Any, kind: Any) -> Any:
            anything = ir.Constant(kind, ir.Undefined)
            first = builder.insert_element(anything, one, ir.Constant(number, 0))
            return builder.shuffle_vector(first, anything, ir.Constant(integers, None))

        def fetch(address: Any, nearest: int) -> None:
            byte, name = ir.IntType(8).as_pointer(), "llvm.prefetch.p0"
            kind = ir.FunctionType(ir.VoidType(), [byte, number, number, number])
            known = builder.module.globals.get(name) or ir.Function(builder.module, kind, name)
            builder.call(known, [pointer(address, ir.IntType(8)), *(ir.Constant(number, n) for n in (0, nearest, 1))])

        each = range(rows)
        starts = [place(levels, levels_step, row) for row in each]
        before, loop, done = builder.block, builder.append_basic_block(), builder.append_basic_block()
        builder.branch(loop)
        builder.position_at_end(loop)
        group, sums = builder.phi(index), [[builder.phi(integers) for _ in vectors] for _ in each]
        right = [load(place(panel, group, size * len(vectors), size * v), integers) for v in vectors]
        for line in range(0, size * len(vectors) // 2, LINE):  # half of a panel for each block of rows
            if rows == 1:
                fetch(place(panel, group, size * len(vectors), AHEAD + 2 * line), 3)
                fetch(place(panel, group, size * len(vectors), AHEAD + 2 * line + LINE), 3)
            else:
                fetch(place(ahead, group, size * len(vectors) // 2, line), 2)
        added = []
        for start, of_row in zip(starts, sums, strict=True):
            left = everywhere(load(place(start, group, GROUP), number), integers)
            added.append([_add_bytes(builder, instruction, of_row[v], left, right[v]) for v in vectors])
        following = builder.add(group, ir.Constant(index, 1))
        group.add_incoming(ir.Constant(index, 0), before)
        group.add_incoming(following, loop)
        for of_row, after in zip(sums, added, strict=True):
            for v in vectors:
                of_row[v].add_incoming(ir.Constant(integers, None), before)
                of_row[v].add_incoming(after[v], loop)
        builder.cbranch(builder.icmp_signed("<", following, groups), loop, done)
        builder.position_at_end(done)
        of_outputs = [
            [load(place(constants, ir.Constant(index, size * (len(vectors) * kind + v))), reals) for kind in range(3)]
            for v in vectors
        ]
        for row in each:
            scale = everywhere(load(place(scales, ir.Constant(index, 4 * row)), real), reals)
            low = everywhere(load(place(lows, ir.Constant(index, 4 * row)), real), reals)
            for v in vectors:
                weight_scale, weight_sum, bias = of_outputs[v]
                product = builder.fmul(builder.sitofp(added[row][v], reals), weight_scale, flags=("fast",))
                under = builder.fadd(builder.fmul(low, weight_sum, flags=("fast",)), bias, flags=("fast",))
                whole = builder.fadd(builder.fmul(product, scale, flags=("fast",)), under, flags=("fast",))
                builder.store(whole, pointer(place(y, y_step, row, size * v), reals), align=4)
        return context.get_dummy_value()

    def typed(context: Any, levels: Any, levels_step: Any, panel: Any, constants: Any, scales: Any, lows: Any, y: Any,
              y_step: Any, ahead: Any, groups: Any) -> Any:  # fmt: skip
        return types.void(*[types.int64] * 10), generate

    return intrinsic(typed)


ROWS, WIDTH, NARROW_ROWS = HERE.rows, HERE.width, HERE.narrow.rows
_all_rows, _four_rows, _two_rows, _one_row = (tile(HERE, rows) for rows in (ROWS, 4, 2, 1))
_narrow_rows, _narrow_row = (tile(HERE.narrow, rows) for rows in (NARROW_ROWS, 1))


@compiled(void(_rows, float32, int8[:, ::1], float32[:, :, ::1]))
def quantize(weights: Any, most: Any, panels: Any, constants: Any) -> None:
    """Weights `[out, in]` to levels, `most` at most, into panels of zeros; their scales and sums to `constants`."""
    width = constants.shape[2]
    for output in range(len(weights)):
        row, greatest, total = weights[output], ZERO, np.int32(0)
        panel, lane = divmod(output, width)
        into, of_outputs = panels[panel], constants[panel]
        for i in range(row.size):
            greatest = most_of(greatest, abs(row[i]))
        scale = max(greatest / most, TINY)
        finer = ONE / scale
        for i in range(row.size):
            level = np.int32(np.floor(row[i] * finer + HALF))
            into[(i // GROUP * width + lane) * GROUP + i % GROUP] = np.int8(level)
            total = np.int32(total + level)
        of_outputs[0, lane], of_outputs[1, lane] = scale, scale * np.float32(total)


def pack(weights: np.ndarray, bias: np.ndarray | None) -> Weights:
    """float32 `[out, in]` and `[out]`."""
    outputs, inputs = weights.shape
    width = WIDTH if outputs > HERE.narrow.width else HERE.narrow.width
    count, size = -(-outputs // width), -(-inputs // GROUP) * GROUP * width
    room = np.zeros(count * size + LINE, np.int8)
    first = -room.ctypes.data % LINE
    panels = room[first : first + count * size].reshape(count, size)
    constants = np.zeros((count, 3, width), np.float32)
    quantize(weights, HERE.most, panels, constants)
    if bias is not None:
        of_outputs = np.zeros(count * width, np.float32)
        of_outputs[:outputs] = bias
        constants[:, 2] = of_outputs.reshape(count, width)
    return Weights(panels, constants)


@compiled(inline="always")
def _activate(row: Any, activation: Any) -> None:
    if activation == GELU:
        for i in range(row.size):
            value = row[i]
            slope = GELU_SLOPE * (value + GELU_CUBIC * value * value * value)
            row[i] = value / (ONE + exp(-slope))
    elif activation == SILU:
        for i in range(row.size):
            row[i] = row[i] / (ONE + exp(-row[i]))


@compiled(inline="always")
def _some_rows(left: Any, left_step: Any, panel: Any, constants: Any, scales: Any, lows: Any, y: Any, y_step: Any,
               ahead: Any, groups: Any, width: Any, rows: Any) -> Any:  # fmt: skip
    """As many of so many rows as go into the registers. How many that were."""
    if width < WIDTH:
        if rows >= NARROW_ROWS:
            _narrow_rows(left, left_step, panel, constants, scales, lows, y, y_step, ahead, groups)
            return NARROW_ROWS
        _narrow_row(left, left_step, panel, constants, scales, lows, y, y_step, ahead, groups)
        return 1
    if rows >= ROWS:
        _all_rows(left, left_step, panel, constants, scales, lows, y, y_step, ahead, groups)
        return ROWS
    if rows >= 4:
        _four_rows(left, left_step, panel, constants, scales, lows, y, y_step, ahead, groups)
        return 4
    if rows >= 2:
        _two_rows(left, left_step, panel, constants, scales, lows, y, y_step, ahead, groups)
        return 2
    _one_row(left, left_step, panel, constants, scales, lows, y, y_step, ahead, groups)
    return 1


@compiled()
def _multiply(levels: Any, scales: Any, lows: Any, panels: Any, constants: Any, activation: Any, residual: Any,
              room: Any, y: Any) -> None:  # fmt: skip
    """Some rows of levels times all panels: `y` `[rows, out]`, activated, plus the residual if there is one. `room`
    `[rows, width]` is for a panel that has more outputs than there are.
    """
    rows, outputs = y.shape
    size, width = panels.shape[1], constants.shape[2]
    for number in range(len(panels)):
        panel, first = panels[number].ctypes.data, number * width
        last = min(first + width, outputs)
        fits = first + width == last
        into, step = (y.ctypes.data + 4 * first, 4 * outputs) if fits else (room.ctypes.data, 4 * width)
        row, ahead = 0, panel + size
        while row < rows:
            row += _some_rows(
                levels[row:].ctypes.data, levels.shape[1], panel, constants[number].ctypes.data,
                scales[row:].ctypes.data, lows[row:].ctypes.data, into + row * step, step, ahead,
                size // (GROUP * width), width, rows - row,
            )  # fmt: skip
            ahead = panel + size + size // 2  # the second half, then that again
        for row in range(rows):
            of_row = y[row, first:last]
            if not fits:
                of_row[:] = room[row, : last - first]
            _activate(of_row, activation)
            if len(residual):
                onto = residual[row, first:last]
                for i in range(of_row.size):
                    of_row[i] += onto[i]


@compiled(inline="always")
def _span(seen: Any, start: Any, end: Any, low: Any, high: Any) -> None:
    """The least and the greatest of each step of `seen` `[time, channels]` from start to end."""
    for at in range(start, end):
        step = seen[at]
        least = most = step[0]
        for i in range(step.size):
            least = least_of(least, step[i])
            most = most_of(most, step[i])
        low[at], high[at] = least, most


@compiled(inline="always")
def _quantize(numbers: Any, least: Any, finer: Any, into: Any) -> None:
    for i in range(numbers.size):
        level = np.uint32(np.int32((numbers[i] - least) * finer + HALF))
        into[i] = np.uint8(min(level, GREATEST))


@compiled()
def _convolve(tail: Any, x: Any, activated: Any, taps: Any, dilation: Any, panels: Any, constants: Any, activation: Any,
              residual: Any, y: Any, seen: Any, low: Any, high: Any, levels: Any, scales: Any, lows: Any,
              room: Any) -> None:  # fmt: skip
    """As `convolve`, in arrays that it owns: a few steps of time, and the levels of a few outputs."""
    x, panels, constants, residual, y = bare(x), bare(panels), bare(constants), bare(residual), bare(y)
    seen, low, high, room = bare(seen), bare(low), bare(high), bare(room)
    levels, scales, lows = bare(levels), bare(scales), bare(lows)
    rows, time, channels = x.shape
    reach, held = tail.shape[1], len(levels)
    block, as_it_lies = len(low) - reach, not len(seen)
    runs, width = (1, taps * channels) if dilation == 1 else (taps, channels)  # of what lies side by side
    filled = done = 0
    for row in range(rows):
        seen[:reach] = tail[row]
        _span(seen, 0, reach, low, high)
        for first in range(0, time, block):
            count = min(block, time - first)
            if as_it_lies:
                seen = x[row]
            else:
                move(x[row, first : first + count], activated, seen[reach : reach + count])
            _span(seen, reach, reach + count, low, high)
            flat = seen.ravel()
            for output in range(count):
                least, most = low[output], high[output]
                for tap in range(1, taps):
                    least = min(least, low[output + tap * dilation])
                    most = max(most, high[output + tap * dilation])
                scale = max((most - least) / LEVELS, TINY)
                least = np.floor(least / scale + HALF) * scale
                scales[filled], lows[filled] = scale, least
                for run in range(runs):
                    start = (output + run * dilation) * channels
                    into = levels[filled, run * width : (run + 1) * width]
                    _quantize(flat[start : start + width], least, ONE / scale, into)
                filled += 1
                if filled == held:
                    onto, out = residual[done : done + held], y[done : done + held]
                    _multiply(levels, scales, lows, panels, constants, activation, onto, room, out)
                    done, filled = done + held, 0
            for at in range(reach):
                seen[at] = seen[count + at]
                low[at], high[at] = low[count + at], high[count + at]
        tail[row] = seen[:reach]
    if filled:
        _multiply(levels[:filled], scales, lows, panels, constants, activation, residual[done:], room, y[done:])


@compiled(void(_tails, _batch, boolean, int64, int64, int8[:, ::1], _batch, int64, _rows, _rows))
def convolve(tail: Any, x: Any, activated: Any, taps: Any, dilation: Any, panels: Any, constants: Any, activation: Any,
             residual: Any, y: Any) -> None:  # fmt: skip
    """A convolution over `x` `[rows, time, channels]`, which goes through ELU if that is asked, behind `tail`
    `[rows, (taps - 1) * dilation, channels]`, which becomes the end of both: `y` `[rows * time, out]`, activated, plus
    `residual` of the same shape, or of no rows.

    Zero is a level: half of what an activation lets through is nearly that, and all of it would be off by the same.
    Block by block, so that what is activated is still near when it is looked at, as often as there are taps.
    """
    rows, time, channels = x.shape
    reach, held, width = tail.shape[1], min(HELD, rows * time), constants.shape[2]
    as_it_lies = not activated and not reach
    block = time if as_it_lies else min(time, max(1, BLOCK // channels))
    _convolve(
        tail, x, activated, taps, dilation, panels, constants, activation, residual, y,
        np.empty((0 if as_it_lies else reach + block, channels), np.float32),
        np.empty(reach + block, np.float32), np.empty(reach + block, np.float32),
        np.empty((held, panels.shape[1] // width), np.uint8),
        np.empty(held, np.float32), np.empty(held, np.float32), np.empty((held, width), np.float32),
    )  # fmt: skip

"""Exponential, ELU and activation quantization, as scalars for Numba and as kernels over vectors of 16.

`exp` and `elu` are written once, for scalars and vectors alike.
"""

from collections.abc import Callable, Sequence
from typing import Any

from llvmlite import ir
from numba import float32
from numba.extending import intrinsic

from sayline_tts.engine.kernels.ir_builder import (
    F32,
    F32X16,
    FAST,
    I8,
    I32,
    I32X16,
    LANES,
    address_kernel,
    broadcast,
    call,
    constant,
    i64,
    load,
    loop,
    maximum,
    multiply_add,
    offset,
    store,
)

LOG2_E = 1.4426950408889634
EXP_MIN = -87.0  # exp of this is the smallest float32 that is not denormal
EXP_MAX = 88.0  # exp of this is nearly the largest float32
MANTISSA_BITS = 23
# 2^x for x in [-0.5, 0.5] to 1e-7: a minimax polynomial, highest power first.
EXP2_POLYNOMIAL = (
    1.535336188e-4, 1.339887441e-3, 9.618437358e-3, 5.550332471e-2, 2.402264791e-1, 6.931472029e-1, 1.0
)  # fmt: skip


def emit_exp(builder: Any, x: Any, nonpositive: bool) -> Any:
    """exp(x) = 2^n * 2^f with n the nearest integer to x * log2(e). Inputs are clamped to [EXP_MIN, EXP_MAX].

    `nonpositive`: x is never above zero, so it needs no upper clamp and truncation rounds.
    """
    integers = I32X16 if isinstance(x.type, ir.VectorType) else I32
    x = maximum(builder, x, constant(x.type, EXP_MIN))
    if nonpositive:
        x = builder.fmul(x, constant(x.type, LOG2_E), flags=FAST)
        whole = builder.fptosi(builder.fsub(x, constant(x.type, 0.5), flags=FAST), integers)
        fraction = builder.fsub(x, builder.sitofp(whole, x.type), flags=FAST)
    else:
        limit = constant(x.type, EXP_MAX)
        x = builder.select(builder.fcmp_ordered("<", x, limit, flags=FAST), x, limit)
        x = builder.fmul(x, constant(x.type, LOG2_E), flags=FAST)
        suffix = "v16f32" if isinstance(x.type, ir.VectorType) else "f32"
        half_up = builder.fadd(x, constant(x.type, 0.5), flags=FAST)
        floor = call(builder, f"llvm.floor.{suffix}", x.type, half_up)
        whole = builder.fptosi(floor, integers)
        fraction = builder.fsub(x, floor, flags=FAST)
    power = constant(x.type, EXP2_POLYNOMIAL[0])
    for coefficient in EXP2_POLYNOMIAL[1:]:
        power = multiply_add(builder, power, fraction, constant(x.type, coefficient))
    exponent = builder.shl(whole, constant(integers, MANTISSA_BITS))
    return builder.bitcast(builder.add(builder.bitcast(power, integers), exponent), x.type)


def emit_elu(builder: Any, x: Any) -> Any:
    """max(x, exp(min(x, 0)) - 1)."""
    zero, one = constant(x.type, 0.0), constant(x.type, 1.0)
    negative = builder.fcmp_ordered("<", x, zero, flags=FAST)
    power = emit_exp(builder, builder.select(negative, x, zero), nonpositive=True)
    return maximum(builder, x, builder.fsub(power, one, flags=FAST))


def _scalar_function(emit: Callable[[Any, Any], Any]) -> Any:
    """A Numba function from float32 to float32."""

    def typing(context: Any, x: Any) -> Any:
        def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            return emit(builder, arguments[0])

        return float32(float32), codegen

    return intrinsic(typing)


def _elu(builder: Any, x: Any, count: Any, out: Any) -> None:
    """ELU of `16 * count` floats."""

    def body(index: Any, _: Sequence[Any]) -> list[Any]:
        values = load(builder, F32X16, offset(builder, x, i64(LANES), index))
        store(builder, emit_elu(builder, values), offset(builder, out, i64(LANES), index))
        return []

    loop(builder, count, [], body)


def _quantize(builder: Any, x: Any, count: Any, min_x: Any, inverse_scale: Any, out: Any) -> None:
    """`16 * count` floats to bytes: `(x - min_x) * inverse_scale`, rounded, at most 255."""
    low, factor = (broadcast(builder, load(builder, F32, address)) for address in (min_x, inverse_scale))

    def body(index: Any, _: Sequence[Any]) -> list[Any]:
        values = load(builder, F32X16, offset(builder, x, i64(LANES), index))
        scaled = multiply_add(builder, builder.fsub(values, low, flags=FAST), factor, constant(F32X16, 0.5))
        level, limit = builder.fptosi(scaled, I32X16), constant(I32X16, 255)
        level = builder.select(builder.icmp_unsigned("<", level, limit), level, limit)
        levels = builder.trunc(level, ir.VectorType(I8, LANES))
        store(builder, levels, builder.add(out, builder.mul(index, i64(LANES))), align=1)
        return []

    loop(builder, count, [], body)


exp = _scalar_function(lambda builder, x: emit_exp(builder, x, nonpositive=False))
elu = _scalar_function(emit_elu)
elu_vectors, quantize_vectors = address_kernel(_elu), address_kernel(_quantize)

"""One query for each row, over all that its slot holds, where it lies: no copy, no mask, no position in vain.

A step of FlowLM looks once at every position of everybody's past, so what counts is to read each key and value once.
One loop does it for a whole layer: it writes the newest of them, scores, weighs and sums. Knows addresses, not slots.
"""

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from numba import float32, int64, types, uint16, void
from numba.core import cgutils
from numba.extending import intrinsic
from numba.np.numpy_support import carray
from torch import Tensor

from engine.loops import ONE, ZERO, compiled, exp
from engine.watch import Watch

HALF_WORD, ROUNDING, ODD = np.uint32(16), np.uint32(0x7FFF), np.uint32(1)
FAR = np.float32(-1e30)


class Parts(NamedTuple):
    """Where the past of each row lies, in parts that follow each other: `[rows, parts]` each; counts may be 0.

    Of layer 0 and its first head; the others follow at fixed distances. All in bytes, and bfloat16.
    """

    keys: np.ndarray  # int64, addresses
    values: np.ndarray
    counts: np.ndarray  # int64, positions; the last one of a row is the one to write
    layer_steps: np.ndarray  # int64
    head_steps: np.ndarray


@dataclass(frozen=True, slots=True)
class Glance:
    """A pass of length 1. Does for the networks what `cache.Span` does."""

    parts: Parts
    owners: tuple[object, ...]  # of that memory, so that it stays
    rotation: Tensor  # [rows, 1, 1, head_dim / 2], complex
    dtype: torch.dtype = torch.float32  # of queries; keys and values are rounded when they are written
    watch: Watch | None = None

    def attend(self, layer: int, queries: Tensor, keys: Tensor, values: Tensor) -> Tensor:
        """As `Span.attend`; all float32."""
        rows, length, heads, dim = queries.shape
        kv_heads = keys.shape[2]
        heard = torch.empty(rows, kv_heads, heads // kv_heads, dim)
        watch = self.watch if self.watch and layer in self.watch.heads else None
        scores = torch.empty(*heard.shape[:3], watch.width if watch else 0)
        look(
            queries.reshape(heard.shape).contiguous().numpy(), keys[:, 0].contiguous().numpy(),
            values[:, 0].contiguous().numpy(), layer, *self.parts, heard.numpy(), scores.numpy(),
        )  # fmt: skip
        if watch:
            watch.look(layer, scores[:, :, :, None])
        return heard.view(rows, length, heads, dim)


def _typed(context: Any, address: Any) -> Any:
    """For Numba: a number as the address that it is."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.inttoptr(arguments[0], cgutils.voidptr_t)

    return types.voidptr(types.int64), generate


_pointer: Any = intrinsic(_typed)
_array: Any = carray


@compiled(inline="always")
def _positions(address: Any, count: Any, dim: Any) -> Any:
    """`[count, dim]` halves of float32 that lie there."""
    return _array(_pointer(address), (count, dim), uint16)


@compiled(inline="always")
def _wide(half: Any) -> Any:
    return np.uint32(np.uint32(half) << HALF_WORD).view(np.float32)


@compiled(inline="always")
def _rounded(number: Any) -> Any:
    """To the nearest bfloat16; of two that are as near, the even one."""
    bits = np.float32(number).view(np.uint32)
    return np.uint16(np.uint32(bits + ROUNDING + ((bits >> HALF_WORD) & ODD)) >> HALF_WORD)


_rows_of_heads, _parts = float32[:, :, ::1], int64[:, ::1]


@compiled(void(float32[:, :, :, ::1], _rows_of_heads, _rows_of_heads, int64, _parts, _parts, _parts, _parts, _parts,
               float32[:, :, :, ::1], float32[:, :, :, ::1]))  # fmt: skip
def look(queries: Any, new_keys: Any, new_values: Any, layer: Any, keys: Any, values: Any, counts: Any,
         layer_steps: Any, head_steps: Any, heard: Any, scores: Any) -> None:  # fmt: skip
    """`queries` and `heard` `[rows, kv_heads, sharing, dim]`, new ones `[rows, kv_heads, dim]`.

    `scores` `[rows, kv_heads, sharing, width]` gets those of the first positions behind the first part.
    """
    rows, kv_heads, sharing, dim = queries.shape
    width = scores.shape[3]
    weights = np.empty(counts.sum(axis=1).max(), np.float32)
    for head in range(kv_heads):
        for row in range(rows):
            last = counts.shape[1] - 1
            while counts[row, last] == 0:
                last -= 1
            step = layer * layer_steps[row, last] + head * head_steps[row, last]
            key = _positions(keys[row, last] + step, counts[row, last], dim)[-1]
            value = _positions(values[row, last] + step, counts[row, last], dim)[-1]
            for i in range(dim):
                key[i] = _rounded(new_keys[row, head, i])
                value[i] = _rounded(new_values[row, head, i])
            for shared in range(sharing):
                query, sums = queries[row, head, shared], heard[row, head, shared]
                count, most = 0, FAR
                for part in range(last + 1):
                    step = layer * layer_steps[row, part] + head * head_steps[row, part]
                    there = _positions(keys[row, part] + step, counts[row, part], dim)
                    for position in range(counts[row, part]):
                        past, score = there[position], ZERO
                        for i in range(dim):
                            score += query[i] * _wide(past[i])
                        weights[count] = score
                        most = max(most, score)
                        count += 1
                for i in range(min(width, count - counts[row, 0])):
                    scores[row, head, shared, i] = weights[counts[row, 0] + i]
                total = ZERO
                for i in range(count):
                    weights[i] = exp(weights[i] - most)
                    total += weights[i]
                count = 0
                sums[:] = ZERO
                for part in range(last + 1):
                    step = layer * layer_steps[row, part] + head * head_steps[row, part]
                    there = _positions(values[row, part] + step, counts[row, part], dim)
                    for position in range(counts[row, part]):
                        past, weight = there[position], weights[count]
                        for i in range(dim):
                            sums[i] += weight * _wide(past[i])
                        count += 1
                for i in range(dim):
                    sums[i] *= ONE / total

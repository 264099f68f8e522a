"""Attention of some rows over keys and values where these lie: no copy together, no mask, no position in vain.

A pass takes new positions of each row, as many as it has, packed one behind the other. One loop does a whole layer: it
turns queries and keys, writes what is new, scores, weighs and sums, and each row hears the same in any company. What
counts for a single query is to read each key and value once; more of them go in blocks of sixteen, side by side in
one register, through products of eight positions at once. Knows addresses, not slots.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from numba import float32, int64, uint16, void
from numba.extending import overload
from torch import Tensor

from sayline_tts.engine.kernels.attention_capture import Watch
from sayline_tts.engine.kernels.ir_builder import LINE
from sayline_tts.engine.kernels.jit import ONE, ZERO, array, bare, compiled, pointer
from sayline_tts.engine.kernels.simd import (
    COLUMNS,
    ROWS,
    UNSEEN,
    fetch,
    hear_bfloat16,
    hear_float32,
    hear_four_bfloat16,
    hear_four_float32,
    multiply,
    score_bfloat16,
    score_float32,
    turn,
    weigh,
    weigh_one,
)

HALF_WORD, ROUNDING, ODD = np.uint32(16), np.uint32(0x7FFF), np.uint32(1)
FAR = np.float32(UNSEEN)
FEW = 4  # queries of one position that share a key: more of them pay for a block
TILE = 64  # positions of float32 that stay in the nearest cache


class Parts(NamedTuple):
    """Where the past of each row and its new positions lie, in parts that follow each other: `[rows, parts]` each.

    Of layer 0 and its first head; the others follow at fixed distances. Distances are in bytes; counts may be 0.
    """

    keys: np.ndarray  # int64, addresses
    values: np.ndarray
    counts: np.ndarray  # int64, positions; the last of them are the new ones
    layer_steps: np.ndarray  # int64
    head_steps: np.ndarray


@dataclass(frozen=True, slots=True)
class Span:
    """One pass over some rows of a cache: made once, used by every layer."""

    parts: Parts
    lengths: np.ndarray  # int64 [rows], new positions of each
    free: np.ndarray  # int64 [rows], of them so many still see the first position; then each sees one fewer
    owners: tuple[object, ...]  # of that memory, so that it stays
    kind: np.ndarray  # of the stored numbers: float32, or uint16, which are bfloat16
    rotation: np.ndarray  # float32 [positions, head_dim], a cosine and a sine for each pair
    watch: Watch | None = None

    def attend(self, layer: int, projected: Tensor, heads: int) -> Tensor:
        """What was made of new positions, packed: `[positions..., heads + 2 * kv_heads, head_dim]`, queries (scaled
        already), keys and values. The last two are stored; float32 is turned where it lies. Returns what the queries
        hear, `[positions..., heads, head_dim]`.
        """
        dim = projected.shape[-1]
        flat = projected.float().contiguous().view(len(self.rotation), -1, dim)
        heard = torch.empty(len(flat), heads, dim)
        with self.watched(layer, heads) as scores:
            attend(
                flat.numpy(), self.rotation, layer, *self.parts, self.lengths, self.free, self.kind, heard.numpy(),
                scores,
            )  # fmt: skip
        return heard.view(*projected.shape[:-2], heads, dim)

    @contextmanager
    def watched(self, layer: int, heads: int) -> Iterator[np.ndarray]:
        """Room for this layer's scores, as `attend` has them; who watches it looks at them then."""
        watch = self.watch if self.watch and layer in self.watch.heads else None
        scores = torch.empty(len(self.lengths), heads, watch.width if watch else 0)
        yield scores.numpy()
        if watch:
            watch.look(layer, scores)


def _wide(number: Any) -> Any:
    """A stored number as float32."""


@overload(_wide, inline="always")
def _widen(number: Any) -> Any:
    def shifted(number: Any) -> Any:
        return np.uint32(np.uint32(number) << HALF_WORD).view(np.float32)

    def same(number: Any) -> Any:
        return number

    return shifted if number is uint16 else same


def _keep(into: Any, i: Any, number: Any) -> Any:
    """Store a float32: in bfloat16 the nearest; of two that are as near, the even one."""


@overload(_keep, inline="always")
def _round(into: Any, i: Any, number: Any) -> Any:
    def rounded(into: Any, i: Any, number: Any) -> Any:
        bits = np.float32(number).view(np.uint32)
        into[i] = np.uint16(np.uint32(bits + ROUNDING + ((bits >> HALF_WORD) & ODD)) >> HALF_WORD)

    def same(into: Any, i: Any, number: Any) -> Any:
        into[i] = number

    return rounded if into.dtype is uint16 else same


@compiled(inline="always")
def _turn(projected: Any, rotation: Any, turning: Any) -> None:
    """The first heads `turning` of each position, pair by pair, in place."""
    vectors = rotation.shape[1] // COLUMNS
    for position in range(projected.shape[0]):
        by = rotation[position]
        for head in range(turning):
            x = projected[position, head]
            if vectors:
                turn(x.ctypes.data, by.ctypes.data, vectors)
            for i in range(vectors * COLUMNS, x.size, 2):
                even, odd = x[i], x[i + 1]
                x[i] = even * by[i] - odd * by[i + 1]
                x[i + 1] = even * by[i + 1] + odd * by[i]


@compiled(inline="always")
def _write(at: Any, counts: Any, kind: Any, projected: Any, first: Any, length: Any, head: Any) -> None:
    """The new positions of a row, the last of those that lie `at` these parts."""
    dim = projected.shape[2]
    old = counts.sum() - length
    for part in range(counts.size):
        there = array(pointer(at[part]), (counts[part], dim), kind.dtype)
        for position in range(max(old, 0), counts[part]):
            new, into = projected[first + position - old, head], there[position]
            for i in range(dim):
                _keep(into, i, new[i])
        old -= counts[part]


def _score(kind: Any, query: Any, vectors: Any, keys: Any, count: Any, ahead: Any, scores: Any) -> None:
    """As `vectors.score_...` of this kind of numbers."""


@overload(_score, inline="always")
def _score_of_kind(kind: Any, query: Any, vectors: Any, keys: Any, count: Any, ahead: Any, scores: Any) -> Any:
    of_kind = score_bfloat16 if kind.dtype is uint16 else score_float32

    def score(kind: Any, query: Any, vectors: Any, keys: Any, count: Any, ahead: Any, scores: Any) -> None:
        of_kind(query, vectors, keys, count, ahead, scores)

    return score


def _sum(kind: Any, weights: Any, values: Any, count: Any, vectors: Any, ahead: Any, heard: Any) -> None:
    """Stored values of so many vectors, weighed, are added to what is heard."""


@overload(_sum, inline="always")
def _sum_of_kind(kind: Any, weights: Any, values: Any, count: Any, vectors: Any, ahead: Any, heard: Any) -> Any:
    one, four = (hear_bfloat16, hear_four_bfloat16) if kind.dtype is uint16 else (hear_float32, hear_four_float32)

    def sum_(kind: Any, weights: Any, values: Any, count: Any, vectors: Any, ahead: Any, heard: Any) -> None:
        size, wide = COLUMNS * kind.itemsize, 4 * COLUMNS  # bytes of a vector as it is stored, and as it is heard
        for vector in range(0, vectors - 3, 4):
            four(weights, values + vector * size, count, vectors * size, ahead + vector * size, heard + vector * wide)
        for vector in range(vectors // 4 * 4, vectors):
            one(weights, values + vector * size, count, vectors * size, ahead + vector * size, heard + vector * wide)

    return sum_


@compiled(inline="always")
def _hear_one(query: Any, key_at: Any, value_at: Any, head_steps: Any, counts: Any, kind: Any, weights: Any,
              heard: Any, scores: Any) -> None:  # fmt: skip
    """One query, of whole vectors, over all positions. `weights`: room for one column of them.

    Values are fetched while keys are read, and the keys of the next head while values are.
    """
    vectors, count, at = query.size // COLUMNS, 0, weights.ctypes.data
    for part in range(counts.size):
        if counts[part]:
            _score(kind, query.ctypes.data, vectors, key_at[part], counts[part], value_at[part], at + 4 * count)
            count += counts[part]
    for i in range(min(scores.size, count - counts[0])):
        scores[i] = weights[counts[0] + i]
    blocks = -(-count // COLUMNS)
    weights[count : blocks * COLUMNS] = FAR
    heard[:] = ZERO
    weigh_one(at, blocks, weights[blocks * COLUMNS :].ctypes.data)
    total = weights[blocks * COLUMNS]
    count = 0
    for part in range(counts.size):
        if counts[part]:
            ahead = key_at[part] + head_steps[part]
            _sum(kind, at + 4 * count, value_at[part], counts[part], vectors, ahead, heard.ctypes.data)
            count += counts[part]
    for i in range(heard.size):
        heard[i] *= ONE / total


@compiled(inline="always")
def _tile(at: Any, first: Any, count: Any, dim: Any, kind: Any, tile: Any) -> None:
    """So many stored positions behind `first`, as float32 `[positions, dim]`."""
    there = array(pointer(at + first * dim * kind.itemsize), (count * dim,), kind.dtype)
    for i in range(there.size):
        tile[i] = _wide(there[i])


@compiled(inline="always")
def _score_block(block: Any, key_at: Any, value_at: Any, counts: Any, kind: Any, tile: Any, weights: Any) -> Any:
    """Queries `block` `[dim, 16]` times all keys: `weights` `[positions, 16]`; values are fetched. Says how many."""
    dim, done = block.shape[0], 0
    size = dim * kind.itemsize
    for part in range(counts.size):
        for first in range(0, counts[part], TILE):
            count = min(TILE, counts[part] - first)
            _tile(key_at[part], first, count, dim, kind, tile)
            for position in range(0, count, ROWS):  # what is too much in the last is written over, or never read
                fetch(value_at[part] + (first + position) * size, ROWS * size // LINE + 1)
                into = weights[done + position : done + position + ROWS]
                into[:] = ZERO
                multiply(tile.ctypes.data + 4 * position * dim, dim, 1, block.ctypes.data, COLUMNS,
                         into.ctypes.data, COLUMNS, dim)  # fmt: skip
            done += count
    return done


@compiled(inline="always")
def _hear_block(weights: Any, key_at: Any, value_at: Any, head_steps: Any, counts: Any, kind: Any, tile: Any, dim: Any,
                heard: Any) -> None:  # fmt: skip
    """All values, weighed: `heard` `[16, dim or more]`; the keys of the next head are fetched."""
    heard[:] = ZERO
    wide, done = heard.shape[1], 0
    pieces = COLUMNS // ROWS * (wide // COLUMNS)
    for part in range(counts.size):
        for first in range(0, counts[part], TILE):
            count = min(TILE, counts[part] - first)
            _tile(value_at[part], first, count, dim, kind, tile)
            lines = count * dim * kind.itemsize // (LINE * pieces) + 1
            ahead = key_at[part] + head_steps[part] + first * dim * kind.itemsize
            for column in range(0, COLUMNS, ROWS):
                for i in range(0, dim, COLUMNS):
                    fetch(ahead, lines)
                    ahead += lines * LINE
                    multiply(weights[done:].ctypes.data + 4 * column, 1, COLUMNS, tile.ctypes.data + 4 * i, dim,
                             heard[column:].ctypes.data + 4 * i, wide, count)  # fmt: skip
            done += count


@compiled(inline="always")
def _hear_many(projected: Any, first: Any, length: Any, head: Any, free: Any, key_at: Any, value_at: Any,
               head_steps: Any, counts: Any, kind: Any, room: Any, heard: Any, scores: Any) -> None:  # fmt: skip
    """All queries of a row that share a key, in blocks: position after position, those of one side by side."""
    tile, weights, block, begins, ends, sums, sum_of_values = room
    dim = block.shape[0]
    sharing = heard.shape[1] // ((projected.shape[1] - heard.shape[1]) // 2)
    old, queries = counts.sum() - length, length * sharing
    for start in range(0, queries, COLUMNS):
        filled = min(COLUMNS, queries - start)
        block[:] = ZERO
        begins[:], ends[:] = 0, old + length
        for column in range(filled):
            position, of = divmod(start + column, sharing)
            begins[column], ends[column] = max(0, position - free), old + position + 1
            query = projected[first + position, head * sharing + of]
            for i in range(dim):
                block[i, column] = query[i]
        done = _score_block(block, key_at, value_at, counts, kind, tile, weights)
        for column in range(max(0, queries - sharing - start), filled):  # of the last position
            into = scores[head * sharing + start + column - (queries - sharing)]
            for i in range(min(into.size, done - counts[0])):
                into[i] = weights[counts[0] + i, column]
        weigh(weights.ctypes.data, done, begins.ctypes.data, ends.ctypes.data, sums.ctypes.data)
        _hear_block(weights, key_at, value_at, head_steps, counts, kind, tile, dim, sum_of_values)
        for column in range(filled):
            position, of = divmod(start + column, sharing)
            into, whole = heard[first + position, head * sharing + of], ONE / sums[column]
            for i in range(dim):
                into[i] = sum_of_values[column, i] * whole


@compiled()
def _attend_rows(projected: Any, layer: Any, keys: Any, values: Any, counts: Any, layer_steps: Any, head_steps: Any,
                 lengths: Any, free: Any, kind: Any, heard: Any, scores: Any, at: Any, room: Any) -> None:  # fmt: skip
    """As `attend`, of what is turned already, in arrays that it owns."""
    projected, heard, scores = bare(projected), bare(heard), bare(scores)
    counts, head_steps = bare(counts), bare(head_steps)
    key_at, value_at = bare(at[0]), bare(at[1])
    tile, weights, block, begins, ends, sums, sum_of_values = room
    tile, weights, block, sum_of_values = bare(tile), bare(weights), bare(block), bare(sum_of_values)
    room = tile, weights, block, bare(begins), bare(ends), bare(sums), sum_of_values
    heads = heard.shape[1]
    kv_heads = (projected.shape[1] - heads) // 2
    sharing = heads // kv_heads
    first = 0
    for row in range(lengths.size):
        length, there, steps = lengths[row], counts[row], head_steps[row]
        for head in range(kv_heads):  # as they lie in memory
            for part in range(there.size):
                step = layer * layer_steps[row, part] + head * head_steps[row, part]
                key_at[part], value_at[part] = keys[row, part] + step, values[row, part] + step
            _write(key_at, there, kind, projected, first, length, heads + head)
            _write(value_at, there, kind, projected, first, length, heads + kv_heads + head)
            if length > 1 or sharing >= FEW or projected.shape[2] % COLUMNS:
                _hear_many(projected, first, length, head, free[row], key_at, value_at, steps, there, kind, room,
                           heard, scores[row])  # fmt: skip
            else:
                for of in range(head * sharing, (head + 1) * sharing):
                    _hear_one(projected[first, of], key_at, value_at, steps, there, kind, weights.ravel(),
                              heard[first, of], scores[row, of])  # fmt: skip
        first += length


@compiled()
def attend(projected: Any, rotation: Any, layer: Any, keys: Any, values: Any, counts: Any, layer_steps: Any,
           head_steps: Any, lengths: Any, free: Any, kind: Any, heard: Any, scores: Any) -> None:  # fmt: skip
    """As `Span.attend`. `scores` `[rows, heads, width]` gets what each row's last query makes of the first positions
    behind the first part.
    """
    heads, dim = heard.shape[1], heard.shape[2]
    _turn(bare(projected), bare(rotation), heads + (projected.shape[1] - heads) // 2)
    most = counts.sum(axis=1).max() + ROWS
    room = (
        np.zeros((TILE + ROWS) * dim + COLUMNS, np.float32),
        np.empty((most, COLUMNS), np.float32),
        np.empty((dim, COLUMNS), np.float32),
        np.empty(COLUMNS, np.int32),
        np.empty(COLUMNS, np.int32),
        np.empty(COLUMNS, np.float32),
        np.empty((COLUMNS, -(-dim // COLUMNS) * COLUMNS), np.float32),
    )
    at = np.empty((2, keys.shape[1]), np.int64)
    _attend_rows(projected, layer, keys, values, counts, layer_steps, head_steps, lengths, free, kind, heard, scores,
                 at, room)  # fmt: skip


def ready(kind: np.ndarray) -> None:
    """Compile it for stored numbers of this kind, where that was not done: now, not in the middle of speech, and before
    processes are forked.
    """
    packed, of_parts, of_rows = float32[:, :, ::1], int64[:, ::1], int64[::1]
    stored = uint16[::1] if kind.dtype == np.uint16 else float32[::1]
    loop: Any = attend
    loop.compile(void(packed, float32[:, ::1], int64, *[of_parts] * 5, of_rows, of_rows, stored, packed, packed))

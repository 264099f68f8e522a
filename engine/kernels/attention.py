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

from sayline_tts.engine.kernels.attention_capture import AttentionCapture
from sayline_tts.engine.kernels.ir_builder import CACHE_LINE_BYTES
from sayline_tts.engine.kernels.jit import ONE, ZERO, carray, compiled, pointer, unowned_view
from sayline_tts.engine.kernels.simd import (
    LANES,
    MASKED_SCORE,
    ROWS,
    accumulate_values_bfloat16,
    accumulate_values_float32,
    accumulate_values_x4_bfloat16,
    accumulate_values_x4_float32,
    matmul_8x16,
    prefetch_lines,
    qk_scores_bfloat16,
    qk_scores_float32,
    rope,
    softmax,
    softmax_single,
)

HALF_WORD, ROUNDING, ODD = np.uint32(16), np.uint32(0x7FFF), np.uint32(1)
MASKED = np.float32(MASKED_SCORE)
MIN_GQA_GROUP_FOR_BLOCK = 4  # queries of one position that share a key: more of them pay for a block
TILE_POSITIONS = 64  # positions of float32 that stay in the nearest cache


class BlockTable(NamedTuple):
    """Where the past of each row and its new positions lie, in parts that follow each other: `[rows, parts]` each.

    Of layer 0 and its first head; the others follow at fixed distances. Distances are in bytes; counts may be 0.
    """

    keys: np.ndarray  # int64, addresses
    values: np.ndarray
    counts: np.ndarray  # int64, positions; the last of them are the new ones
    layer_strides: np.ndarray  # int64
    head_strides: np.ndarray


@dataclass(frozen=True, slots=True)
class AttentionMetadata:
    """One pass over some rows of a cache: made once, used by every layer."""

    block_table: BlockTable
    query_lengths: np.ndarray  # int64 [rows], new positions of each
    window_slack: np.ndarray  # int64 [rows], of them so many still see the first position; then each sees one fewer
    keep_alive: tuple[object, ...]  # of that memory, so that it stays
    storage: np.ndarray  # of the stored numbers: float32, or uint16, which are bfloat16
    cos_sin: np.ndarray  # float32 [positions, head_dim], a cosine and a sine for each pair
    capture: AttentionCapture | None = None

    def attend(self, layer: int, qkv: Tensor, heads: int) -> Tensor:
        """What was made of new positions, packed: `[positions..., heads + 2 * kv_heads, head_dim]`, queries (scaled
        already), keys and values. The last two are stored; float32 is turned where it lies. Returns what the queries
        hear, `[positions..., heads, head_dim]`.
        """
        dim = qkv.shape[-1]
        flat = qkv.float().contiguous().view(len(self.cos_sin), -1, dim)
        out = torch.empty(len(flat), heads, dim)
        with self.captured_scores(layer, heads) as scores:
            paged_attention(
                flat.numpy(), self.cos_sin, layer, *self.block_table, self.query_lengths, self.window_slack, self.storage, out.numpy(),
                scores,
            )  # fmt: skip
        return out.view(*qkv.shape[:-2], heads, dim)

    @contextmanager
    def captured_scores(self, layer: int, heads: int) -> Iterator[np.ndarray]:
        """Room for this layer's scores, as `attend` has them; who watches it looks at them then."""
        capture = self.capture if self.capture and layer in self.capture.heads else None
        scores = torch.empty(len(self.query_lengths), heads, capture.width if capture else 0)
        yield scores.numpy()
        if capture:
            capture.record(layer, scores)


def _to_float32(value: Any) -> Any:
    """A stored number as float32."""


@overload(_to_float32, inline="always")
def _to_float32_overload(value: Any) -> Any:
    def shifted(value: Any) -> Any:
        return np.uint32(np.uint32(value) << HALF_WORD).view(np.float32)

    def same(value: Any) -> Any:
        return value

    return shifted if value is uint16 else same


def _store(target: Any, i: Any, value: Any) -> Any:
    """Store a float32: in bfloat16 the nearest; of two that are as near, the even one."""


@overload(_store, inline="always")
def _store_overload(target: Any, i: Any, value: Any) -> Any:
    def rounded(target: Any, i: Any, value: Any) -> Any:
        bits = np.float32(value).view(np.uint32)
        target[i] = np.uint16(np.uint32(bits + ROUNDING + ((bits >> HALF_WORD) & ODD)) >> HALF_WORD)

    def same(target: Any, i: Any, value: Any) -> Any:
        target[i] = value

    return rounded if target.dtype is uint16 else same


@compiled(inline="always")
def _apply_rope(qkv: Any, cos_sin: Any, rotated_heads: Any) -> None:
    """The first heads `turning` of each position, pair by pair, in place."""
    vectors = cos_sin.shape[1] // LANES
    for position in range(qkv.shape[0]):
        cos_sin_row = cos_sin[position]
        for head in range(rotated_heads):
            x = qkv[position, head]
            if vectors:
                rope(x.ctypes.data, cos_sin_row.ctypes.data, vectors)
            for i in range(vectors * LANES, x.size, 2):
                even, odd = x[i], x[i + 1]
                x[i] = even * cos_sin_row[i] - odd * cos_sin_row[i + 1]
                x[i + 1] = even * cos_sin_row[i + 1] + odd * cos_sin_row[i]


@compiled(inline="always")
def _store_new_positions(at_: Any, counts: Any, storage: Any, qkv: Any, first: Any, length: Any, head: Any) -> None:
    """The new positions of a row, the last of those that lie `at` these parts."""
    dim = qkv.shape[2]
    past = counts.sum() - length
    for part in range(counts.size):
        stored = carray(pointer(at_[part]), (counts[part], dim), storage.dtype)
        for position in range(max(past, 0), counts[part]):
            new_values, target = qkv[first + position - past, head], stored[position]
            for i in range(dim):
                _store(target, i, new_values[i])
        past -= counts[part]


def _qk_scores(storage: Any, query: Any, vectors: Any, keys: Any, count: Any, ahead: Any, scores: Any) -> None:
    """As `vectors.score_...` of this kind of numbers."""


@overload(_qk_scores, inline="always")
def _qk_scores_overload(storage: Any, query: Any, vectors: Any, keys: Any, count: Any, ahead: Any, scores: Any) -> Any:
    for_storage = qk_scores_bfloat16 if storage.dtype is uint16 else qk_scores_float32

    def score(storage: Any, query: Any, vectors: Any, keys: Any, count: Any, ahead: Any, scores: Any) -> None:
        for_storage(query, vectors, keys, count, ahead, scores)

    return score


def _accumulate_values(storage: Any, weights: Any, values: Any, count: Any, vectors: Any, ahead: Any, out: Any) -> None:
    """Stored values of so many vectors, weighed, are added to what is heard."""


@overload(_accumulate_values, inline="always")
def _accumulate_values_overload(
    storage: Any, weights: Any, values: Any, count: Any, vectors: Any, ahead: Any, out: Any
) -> Any:
    one, four = (
        (accumulate_values_bfloat16, accumulate_values_x4_bfloat16)
        if storage.dtype is uint16
        else (accumulate_values_float32, accumulate_values_x4_float32)
    )

    def sum_(storage: Any, weights: Any, values: Any, count: Any, vectors: Any, ahead: Any, out: Any) -> None:
        size, wide = LANES * storage.itemsize, 4 * LANES  # bytes of a vector as it is stored, and as it is heard
        for vector in range(0, vectors - 3, 4):
            four(weights, values + vector * size, count, vectors * size, ahead + vector * size, out + vector * wide)
        for vector in range(vectors // 4 * 4, vectors):
            one(weights, values + vector * size, count, vectors * size, ahead + vector * size, out + vector * wide)

    return sum_


@compiled(inline="always")
def decode_attention(query: Any, key_addresses: Any, value_addresses: Any, head_strides: Any, counts: Any, storage: Any, weights: Any,
              out: Any, scores: Any) -> None:  # fmt: skip
    """One query, of whole vectors, over all positions. `weights`: room for one column of them.

    Values are fetched while keys are read, and the keys of the next head while values are.
    """
    vectors, count, at_ = query.size // LANES, 0, weights.ctypes.data
    for part in range(counts.size):
        if counts[part]:
            _qk_scores(
                storage,
                query.ctypes.data,
                vectors,
                key_addresses[part],
                counts[part],
                value_addresses[part],
                at_ + 4 * count,
            )
            count += counts[part]
    for i in range(min(scores.size, count - counts[0])):
        scores[i] = weights[counts[0] + i]
    blocks = -(-count // LANES)
    weights[count : blocks * LANES] = MASKED
    out[:] = ZERO
    softmax_single(at_, blocks, weights[blocks * LANES :].ctypes.data)
    total = weights[blocks * LANES]
    count = 0
    for part in range(counts.size):
        if counts[part]:
            ahead = key_addresses[part] + head_strides[part]
            _accumulate_values(
                storage, at_ + 4 * count, value_addresses[part], counts[part], vectors, ahead, out.ctypes.data
            )
            count += counts[part]
    for i in range(out.size):
        out[i] *= ONE / total


@compiled(inline="always")
def _load_tile(at_: Any, first: Any, count: Any, dim: Any, storage: Any, tile: Any) -> None:
    """So many stored positions behind `first`, as float32 `[positions, dim]`."""
    stored = carray(pointer(at_ + first * dim * storage.itemsize), (count * dim,), storage.dtype)
    for i in range(stored.size):
        tile[i] = _to_float32(stored[i])


@compiled(inline="always")
def _qk_scores_block(
    block: Any, key_addresses: Any, value_addresses: Any, counts: Any, storage: Any, tile: Any, weights: Any
) -> Any:
    """Queries `block` `[dim, 16]` times all keys: `weights` `[positions, 16]`; values are fetched. Says how many."""
    dim, scored = block.shape[0], 0
    size = dim * storage.itemsize
    for part in range(counts.size):
        for first in range(0, counts[part], TILE_POSITIONS):
            count = min(TILE_POSITIONS, counts[part] - first)
            _load_tile(key_addresses[part], first, count, dim, storage, tile)
            for position in range(0, count, ROWS):  # what is too much in the last is written over, or never read
                prefetch_lines(value_addresses[part] + (first + position) * size, ROWS * size // CACHE_LINE_BYTES + 1)
                target = weights[scored + position : scored + position + ROWS]
                target[:] = ZERO
                matmul_8x16(tile.ctypes.data + 4 * position * dim, dim, 1, block.ctypes.data, LANES,
                         target.ctypes.data, LANES, dim)  # fmt: skip
            scored += count
    return scored


@compiled(inline="always")
def _accumulate_values_block(weights: Any, key_addresses: Any, value_addresses: Any, head_strides: Any, counts: Any, storage: Any, tile: Any, dim: Any,
                out: Any) -> None:  # fmt: skip
    """All values, weighed: `heard` `[16, dim or more]`; the keys of the next head are fetched."""
    out[:] = ZERO
    wide, scored = out.shape[1], 0
    pieces = LANES // ROWS * (wide // LANES)
    for part in range(counts.size):
        for first in range(0, counts[part], TILE_POSITIONS):
            count = min(TILE_POSITIONS, counts[part] - first)
            _load_tile(value_addresses[part], first, count, dim, storage, tile)
            lines = count * dim * storage.itemsize // (CACHE_LINE_BYTES * pieces) + 1
            ahead = key_addresses[part] + head_strides[part] + first * dim * storage.itemsize
            for column in range(0, LANES, ROWS):
                for i in range(0, dim, LANES):
                    prefetch_lines(ahead, lines)
                    ahead += lines * CACHE_LINE_BYTES
                    matmul_8x16(weights[scored:].ctypes.data + 4 * column, 1, LANES, tile.ctypes.data + 4 * i, dim,
                             out[column:].ctypes.data + 4 * i, wide, count)  # fmt: skip
            scored += count


@compiled(inline="always")
def prefill_attention(qkv: Any, first: Any, length: Any, head: Any, window_slack: Any, key_addresses: Any, value_addresses: Any,
               head_strides: Any, counts: Any, storage: Any, scratch: Any, out: Any, scores: Any) -> None:  # fmt: skip
    """All queries of a row that share a key, in blocks: position after position, those of one side by side."""
    tile, weights, block, first_visible, end_visible, sums, block_out = scratch
    dim = block.shape[0]
    gqa_group = out.shape[1] // ((qkv.shape[1] - out.shape[1]) // 2)
    past, queries = counts.sum() - length, length * gqa_group
    for start in range(0, queries, LANES):
        filled = min(LANES, queries - start)
        block[:] = ZERO
        first_visible[:], end_visible[:] = 0, past + length
        for column in range(filled):
            position, of = divmod(start + column, gqa_group)
            first_visible[column], end_visible[column] = max(0, position - window_slack), past + position + 1
            query = qkv[first + position, head * gqa_group + of]
            for i in range(dim):
                block[i, column] = query[i]
        scored = _qk_scores_block(block, key_addresses, value_addresses, counts, storage, tile, weights)
        for column in range(max(0, queries - gqa_group - start), filled):  # of the last position
            target = scores[head * gqa_group + start + column - (queries - gqa_group)]
            for i in range(min(target.size, scored - counts[0])):
                target[i] = weights[counts[0] + i, column]
        softmax(weights.ctypes.data, scored, first_visible.ctypes.data, end_visible.ctypes.data, sums.ctypes.data)
        _accumulate_values_block(
            weights, key_addresses, value_addresses, head_strides, counts, storage, tile, dim, block_out
        )
        for column in range(filled):
            position, of = divmod(start + column, gqa_group)
            target, whole = out[first + position, head * gqa_group + of], ONE / sums[column]
            for i in range(dim):
                target[i] = block_out[column, i] * whole


@compiled()
def _attention_rows(qkv: Any, layer: Any, keys: Any, values: Any, counts: Any, layer_strides: Any, head_strides: Any,
                 query_lengths: Any, window_slack: Any, storage: Any, out: Any, scores: Any, at_: Any, scratch: Any) -> None:  # fmt: skip
    """As `attend`, of what is turned already, in arrays that it owns."""
    qkv, out, scores = unowned_view(qkv), unowned_view(out), unowned_view(scores)
    counts, head_strides = unowned_view(counts), unowned_view(head_strides)
    key_addresses, value_addresses = unowned_view(at_[0]), unowned_view(at_[1])
    tile, weights, block, first_visible, end_visible, sums, block_out = scratch
    tile, weights, block, block_out = (
        unowned_view(tile),
        unowned_view(weights),
        unowned_view(block),
        unowned_view(block_out),
    )
    scratch = (
        tile,
        weights,
        block,
        unowned_view(first_visible),
        unowned_view(end_visible),
        unowned_view(sums),
        block_out,
    )
    heads = out.shape[1]
    kv_heads = (qkv.shape[1] - heads) // 2
    gqa_group = heads // kv_heads
    first = 0
    for row in range(query_lengths.size):
        length, stored, steps = query_lengths[row], counts[row], head_strides[row]
        for head in range(kv_heads):  # as they lie in memory
            for part in range(stored.size):
                step = layer * layer_strides[row, part] + head * head_strides[row, part]
                key_addresses[part], value_addresses[part] = keys[row, part] + step, values[row, part] + step
            _store_new_positions(key_addresses, stored, storage, qkv, first, length, heads + head)
            _store_new_positions(value_addresses, stored, storage, qkv, first, length, heads + kv_heads + head)
            if length > 1 or gqa_group >= MIN_GQA_GROUP_FOR_BLOCK or qkv.shape[2] % LANES:
                prefill_attention(qkv, first, length, head, window_slack[row], key_addresses, value_addresses, steps, stored, storage, scratch,
                           out, scores[row])  # fmt: skip
            else:
                for of in range(head * gqa_group, (head + 1) * gqa_group):
                    decode_attention(qkv[first, of], key_addresses, value_addresses, steps, stored, storage, weights.ravel(),
                              out[first, of], scores[row, of])  # fmt: skip
        first += length


@compiled()
def paged_attention(qkv: Any, cos_sin: Any, layer: Any, keys: Any, values: Any, counts: Any, layer_strides: Any,
           head_strides: Any, query_lengths: Any, window_slack: Any, storage: Any, out: Any, scores: Any) -> None:  # fmt: skip
    """As `Span.attend`. `scores` `[rows, heads, width]` gets what each row's last query makes of the first positions
    behind the first part.
    """
    heads, dim = out.shape[1], out.shape[2]
    _apply_rope(unowned_view(qkv), unowned_view(cos_sin), heads + (qkv.shape[1] - heads) // 2)
    max_positions = counts.sum(axis=1).max() + ROWS
    scratch = (
        np.zeros((TILE_POSITIONS + ROWS) * dim + LANES, np.float32),
        np.empty((max_positions, LANES), np.float32),
        np.empty((dim, LANES), np.float32),
        np.empty(LANES, np.int32),
        np.empty(LANES, np.int32),
        np.empty(LANES, np.float32),
        np.empty((LANES, -(-dim // LANES) * LANES), np.float32),
    )
    at_ = np.empty((2, keys.shape[1]), np.int64)
    _attention_rows(qkv, layer, keys, values, counts, layer_strides, head_strides, query_lengths, window_slack, storage, out, scores,
                 at_, scratch)  # fmt: skip


def compile_for(storage: np.ndarray) -> None:
    """Compile it for stored numbers of this kind, where that was not done: now, not in the middle of speech, and before
    processes are forked.
    """
    packed, of_parts, of_rows = float32[:, :, ::1], int64[:, ::1], int64[::1]
    stored = uint16[::1] if storage.dtype == np.uint16 else float32[::1]
    loop: Any = paged_attention
    loop.compile(void(packed, float32[:, ::1], int64, *[of_parts] * 5, of_rows, of_rows, stored, packed, packed))

"""Ragged batched attention over a paged KV cache, in place: no gather, mask or padding.

One kernel does a layer: it rotates queries and keys, writes new keys and values, and attends. Each row's result is the
same in any batch. A single query reads each key and value once (`decode_attention`); more queries are processed in
blocks of sixteen, side by side in one register, by products of eight positions at once (`prefill_attention`).
"""

from typing import Any, NamedTuple

import numpy as np
from numba import carray, float32, int64, uint16, void  # type: ignore[attr-defined]

from sayline_tts.engine.kernels.attention_simd import (
    MASKED_SCORE,
    ROWS,
    matmul_8x16,
    prefetch_lines,
    rope,
    softmax,
    softmax_single,
)
from sayline_tts.engine.kernels.cache_storage import accumulate_values, qk_scores, store_rounded, to_float32
from sayline_tts.engine.kernels.ir_builder import CACHE_LINE_BYTES, LANES
from sayline_tts.engine.kernels.jit import ONE, ZERO, address, compiled, pointer, struct_type, unowned_view

MASKED = np.float32(MASKED_SCORE)
MIN_GQA_GROUP_FOR_BLOCK = 4  # queries of one position that share a key: from here on a block of them is faster
TILE_POSITIONS = 64  # positions of float32 that stay in the nearest cache


class BlockTable(NamedTuple):
    """Where the keys and values of each row are: blocks of consecutive positions, `[rows, blocks]` each.

    Addresses are those of layer 0 and its first head; the others follow at fixed strides, in bytes.
    """

    keys: np.ndarray  # int64, addresses
    values: np.ndarray
    counts: np.ndarray  # int64, positions, may be 0; the last positions of a row are the new ones
    layer_strides: np.ndarray  # int64
    head_strides: np.ndarray


class AttentionBatch(NamedTuple):
    """A pass over some rows of a cache, as the kernels take it."""

    table: BlockTable
    query_lengths: np.ndarray  # int64 [rows], new positions of each
    window_slack: (
        np.ndarray
    )  # int64 [rows]: so many queries still see the first position; later ones each see one fewer
    storage: np.ndarray  # empty, in the dtype of the cache: float32, or uint16 for bfloat16
    cos_sin: np.ndarray  # float32 [positions, head_dim], a cosine and a sine for each pair


class _Blocks(NamedTuple):
    """The blocks of one row, layer and head."""

    keys: np.ndarray  # int64 [blocks], addresses
    values: np.ndarray
    counts: np.ndarray
    head_strides: np.ndarray
    storage: np.ndarray


class _Scratch(NamedTuple):
    tile: np.ndarray  # float32 [TILE_POSITIONS + ROWS, head_dim] and a vector more, flat
    weights: np.ndarray  # float32 [positions, 16]
    queries: np.ndarray  # float32 [head_dim, 16]
    begins: np.ndarray  # int32 [16], visible positions of each query
    ends: np.ndarray
    sums: np.ndarray  # float32 [16]
    out: np.ndarray  # float32 [16, head_dim rounded up]


def attention_batch_type(storage: Any) -> Any:
    """Numba's type of an `AttentionBatch` with a cache of these numbers."""
    table = struct_type(BlockTable, *[int64[:, ::1]] * 5)
    return struct_type(AttentionBatch, table, int64[::1], int64[::1], storage[::1], float32[:, ::1])


@compiled(inline="always")
def apply_rope(qkv: Any, cos_sin: Any, rotated_heads: Any) -> None:
    """Rotate the first `rotated_heads` heads of each position in place."""
    vectors = cos_sin.shape[1] // LANES
    for position in range(qkv.shape[0]):
        angles = cos_sin[position]
        for head in range(rotated_heads):
            x = qkv[position, head]
            if vectors:
                rope(address(x), address(angles), vectors)
            for i in range(vectors * LANES, x.size, 2):
                even, odd = x[i], x[i + 1]
                x[i] = even * angles[i] - odd * angles[i + 1]
                x[i + 1] = even * angles[i + 1] + odd * angles[i]


@compiled(inline="always")
def _store_new_positions(addresses: Any, blocks: Any, qkv: Any, head: Any) -> None:
    """Write the keys or values of a row's new positions `qkv` `[length, heads, head_dim]` into its last positions."""
    dim = qkv.shape[2]
    old = blocks.counts.sum() - len(qkv)
    for block in range(blocks.counts.size):
        stored = carray(pointer(addresses[block]), (blocks.counts[block], dim), blocks.storage.dtype)
        for position in range(max(old, 0), blocks.counts[block]):
            new, target = qkv[position - old, head], stored[position]
            for i in range(dim):
                store_rounded(target, i, new[i])
        old -= blocks.counts[block]


@compiled(inline="always")
def decode_attention(query: Any, blocks: Any, weights: Any, out: Any, scores: Any) -> None:
    """One query, of whole vectors, over all positions. `weights`: memory for one per position, rounded up, and a sum.

    Values are prefetched while keys are read, and the keys of the next head while values are.
    """
    vectors, count, weights_address = query.size // LANES, 0, address(weights)
    for block in range(blocks.counts.size):
        if blocks.counts[block]:
            qk_scores(blocks.storage, address(query), vectors, blocks.keys[block], blocks.counts[block],
                       blocks.values[block], weights_address + 4 * count)  # fmt: skip
            count += blocks.counts[block]
    for i in range(min(scores.size, count - blocks.counts[0])):
        scores[i] = weights[blocks.counts[0] + i]
    groups = -(-count // LANES)
    weights[count : groups * LANES] = MASKED
    out[:] = ZERO
    softmax_single(weights_address, groups, address(weights[groups * LANES :]))
    total = weights[groups * LANES]
    count = 0
    for block in range(blocks.counts.size):
        if blocks.counts[block]:
            next_head = blocks.keys[block] + blocks.head_strides[block]
            accumulate_values(blocks.storage, weights_address + 4 * count, blocks.values[block], blocks.counts[block],
                               vectors, next_head, address(out))  # fmt: skip
            count += blocks.counts[block]
    for i in range(out.size):
        out[i] *= ONE / total


@compiled(inline="always")
def _load_tile(base: Any, first: Any, count: Any, dim: Any, storage: Any, tile: Any) -> None:
    """Convert `count` stored positions from `first` on to float32 `[positions, dim]`."""
    stored = carray(pointer(base + first * dim * storage.itemsize), (count * dim,), storage.dtype)
    for i in range(stored.size):
        tile[i] = to_float32(stored[i])


@compiled(inline="always")
def _qk_scores_block(queries: Any, blocks: Any, tile: Any, weights: Any) -> Any:
    """Products of queries `[dim, 16]` with all keys: `weights` `[positions, 16]`. Prefetches values; returns positions.

    Rows behind the last position are overwritten by the next tile, or never read.
    """
    dim, done = queries.shape[0], 0
    size = dim * blocks.storage.itemsize
    for block in range(blocks.counts.size):
        for first in range(0, blocks.counts[block], TILE_POSITIONS):
            count = min(TILE_POSITIONS, blocks.counts[block] - first)
            _load_tile(blocks.keys[block], first, count, dim, blocks.storage, tile)
            for position in range(0, count, ROWS):
                prefetch_lines(blocks.values[block] + (first + position) * size, ROWS * size // CACHE_LINE_BYTES + 1)
                target = weights[done + position : done + position + ROWS]
                target[:] = ZERO
                matmul_8x16(address(tile) + 4 * position * dim, dim, 1, address(queries), LANES,
                            address(target), LANES, dim)  # fmt: skip
            done += count
    return done


@compiled(inline="always")
def _accumulate_values_block(weights: Any, blocks: Any, tile: Any, dim: Any, out: Any) -> None:
    """Weighted sums of all values: `out` `[16, dim or more]`. Prefetches the keys of the next head."""
    out[:] = ZERO
    wide, done = out.shape[1], 0
    products = LANES // ROWS * (wide // LANES)
    for block in range(blocks.counts.size):
        for first in range(0, blocks.counts[block], TILE_POSITIONS):
            count = min(TILE_POSITIONS, blocks.counts[block] - first)
            _load_tile(blocks.values[block], first, count, dim, blocks.storage, tile)
            lines = count * dim * blocks.storage.itemsize // (CACHE_LINE_BYTES * products) + 1
            next_head = blocks.keys[block] + blocks.head_strides[block] + first * dim * blocks.storage.itemsize
            for column in range(0, LANES, ROWS):
                for i in range(0, dim, LANES):
                    prefetch_lines(next_head, lines)
                    next_head += lines * CACHE_LINE_BYTES
                    matmul_8x16(address(weights[done:]) + 4 * column, 1, LANES, address(tile) + 4 * i, dim,
                                address(out[column:]) + 4 * i, wide, count)  # fmt: skip
            done += count


@compiled(inline="always")
def prefill_attention(qkv: Any, head: Any, window_slack: Any, blocks: Any, scratch: Any, out: Any, scores: Any) -> None:
    """All queries of a row that share a key head, in blocks of sixteen, position by position.

    `qkv` `[length, heads + 2 * kv_heads, head_dim]` to `out` `[length, heads, head_dim]`.
    """
    # Unpacked at once: assigning to items of `scratch.queries` in an inlined function miscompiles in Numba 0.68.
    tile, weights, block_queries, begins, ends, sums, block_out = scratch
    length, dim = len(qkv), block_queries.shape[0]
    gqa_group = out.shape[1] // ((qkv.shape[1] - out.shape[1]) // 2)
    old, queries = blocks.counts.sum() - length, length * gqa_group
    for start in range(0, queries, LANES):
        filled = min(LANES, queries - start)
        block_queries[:] = ZERO
        begins[:], ends[:] = 0, old + length
        for column in range(filled):
            position, member = divmod(start + column, gqa_group)
            begins[column], ends[column] = max(0, position - window_slack), old + position + 1
            query = qkv[position, head * gqa_group + member]
            for i in range(dim):
                block_queries[i, column] = query[i]
        done = _qk_scores_block(block_queries, blocks, tile, weights)
        for column in range(max(0, queries - gqa_group - start), filled):  # queries of the last position
            captured = scores[head * gqa_group + start + column - (queries - gqa_group)]
            for i in range(min(captured.size, done - blocks.counts[0])):
                captured[i] = weights[blocks.counts[0] + i, column]
        softmax(address(weights), done, address(begins), address(ends), address(sums))
        _accumulate_values_block(weights, blocks, tile, dim, block_out)
        for column in range(filled):
            position, member = divmod(start + column, gqa_group)
            target, inverse_sum = out[position, head * gqa_group + member], ONE / sums[column]
            for i in range(dim):
                target[i] = block_out[column, i] * inverse_sum


@compiled()
def _attend_rows(qkv: Any, layer: Any, batch: Any, addresses: Any, scratch: Any, out: Any, scores: Any) -> None:
    """As `paged_attention`, with rotated queries and keys, and scratch memory."""
    qkv, out, scores = unowned_view(qkv), unowned_view(out), unowned_view(scores)
    counts, head_strides = unowned_view(batch.table.counts), unowned_view(batch.table.head_strides)
    storage = unowned_view(batch.storage)
    keys, values = unowned_view(addresses[0]), unowned_view(addresses[1])
    scratch = _Scratch(
        unowned_view(scratch.tile), unowned_view(scratch.weights), unowned_view(scratch.queries),
        unowned_view(scratch.begins), unowned_view(scratch.ends), unowned_view(scratch.sums), unowned_view(scratch.out),
    )  # fmt: skip
    heads = out.shape[1]
    kv_heads = (qkv.shape[1] - heads) // 2
    gqa_group = heads // kv_heads
    first = 0
    for row in range(batch.query_lengths.size):
        length = batch.query_lengths[row]
        rows, out_rows = qkv[first : first + length], out[first : first + length]
        blocks = _Blocks(keys, values, counts[row], head_strides[row], storage)
        for head in range(kv_heads):  # in memory order
            for block in range(blocks.counts.size):
                distance = layer * batch.table.layer_strides[row, block] + head * blocks.head_strides[block]
                keys[block] = batch.table.keys[row, block] + distance
                values[block] = batch.table.values[row, block] + distance
            _store_new_positions(keys, blocks, rows, heads + head)
            _store_new_positions(values, blocks, rows, heads + kv_heads + head)
            if length > 1 or gqa_group >= MIN_GQA_GROUP_FOR_BLOCK or qkv.shape[2] % LANES:
                prefill_attention(rows, head, batch.window_slack[row], blocks, scratch, out_rows, scores[row])
            else:
                for query in range(head * gqa_group, (head + 1) * gqa_group):
                    decode_attention(
                        rows[0, query], blocks, scratch.weights.ravel(), out_rows[0, query], scores[row, query]
                    )
        first += length


@compiled()
def paged_attention(qkv: Any, layer: Any, batch: Any, out: Any, scores: Any) -> None:
    """Attend in a layer: `qkv` `[positions, heads + 2 * kv_heads, head_dim]` to `out` `[positions, heads, head_dim]`.

    Queries are scaled already. Queries and keys are rotated in place; new keys and values are stored. `scores`
    `[rows, heads, width]` gets the scores of each row's last query for the first positions behind the first block.
    """
    heads, dim = out.shape[1], out.shape[2]
    apply_rope(unowned_view(qkv), unowned_view(batch.cos_sin), heads + (qkv.shape[1] - heads) // 2)
    positions = batch.table.counts.sum(axis=1).max() + ROWS
    scratch = _Scratch(
        np.zeros((TILE_POSITIONS + ROWS) * dim + LANES, np.float32),
        np.empty((positions, LANES), np.float32),
        np.empty((dim, LANES), np.float32),
        np.empty(LANES, np.int32),
        np.empty(LANES, np.int32),
        np.empty(LANES, np.float32),
        np.empty((LANES, -(-dim // LANES) * LANES), np.float32),
    )
    addresses = np.empty((2, batch.table.keys.shape[1]), np.int64)
    _attend_rows(qkv, layer, batch, addresses, scratch, out, scores)


def compile_for(storage: np.ndarray) -> None:
    """Compile `paged_attention` for a cache of this dtype now: not in the middle of speech, and before a fork."""
    numbers = uint16 if storage.dtype == np.uint16 else float32
    tensor = float32[:, :, ::1]
    kernel: Any = paged_attention
    kernel.compile(void(tensor, int64, attention_batch_type(numbers), tensor, tensor))

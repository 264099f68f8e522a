"""KV cache on a CPU for many slots: paged with shared prefixes, or ring buffers.

A slot holds a prefix, shared by all slots that start from the same voice, then its own positions. Without a
context these are in pages; with a context they are in a ring buffer: position p is at index p % ring, so a reset is
`position = 0`. A page covers some neighbouring slots and positions. It is mapped on first use and resident only where
written, so unused slots and positions cost nothing, and data is never moved.
"""

import math
import mmap
import threading
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from sayline_tts.engine.cache.rope import RopeTable, rope_frequencies
from sayline_tts.engine.kernels.attention import AttentionMetadata
from sayline_tts.engine.kernels.paged_attention import AttentionBatch, BlockTable, compile_for

PAGE_SLOTS = 32
PAGE_POSITIONS = 64
UNLIMITED = np.iinfo(np.int64).max // 2


@dataclass(frozen=True, slots=True)
class CacheShape:
    """Shape, dtype and device of a cache, and the period of its rotary positions."""

    layers: int
    kv_heads: int
    head_dim: int
    max_period: float
    dtype: torch.dtype
    device: torch.device


@dataclass(frozen=True, eq=False)
class Prefix:
    """Keys and values `[layers, kv_heads, positions, head_dim]` that any number of slots may share."""

    keys: Tensor
    values: Tensor

    @property
    def positions(self) -> int:
        return self.keys.shape[2]


class KVCache:
    """Keys and values of `slots` slots, with the next position of each.

    `context` limits how far a query looks back (None: to the beginning); then slots are ring buffers without prefixes,
    for passes of up to `pass_length` positions. Otherwise they grow. With a context, disjoint slots may be used by
    several threads at once, and by processes forked from this one if the cache is `shared`.
    """

    def __init__(
        self, shape: CacheShape, slots: int, context: int | None = None, pass_length: int = 1, shared: bool = False
    ) -> None:
        self.shape, self._context, self._shared = shape, context, shared
        self._ring_size = None if context is None else context + pass_length - 1
        self._page_positions = self._ring_size or PAGE_POSITIONS
        self.positions = mapped_zeros((slots,), torch.long, shape.device, shared)
        self._positions_np = self.positions.numpy()
        self._prefixes: list[Prefix | None] = [None] * slots
        self._prefix_table = np.zeros((3, slots), np.int64)  # of each slot: positions, address of keys, of values
        self._pages_by_group: list[list[Page]] = [[] for _ in range(0, slots, PAGE_SLOTS)]  # groups of PAGE_SLOTS slots
        self._page_addresses = np.zeros((2, len(self._pages_by_group), 0), np.int64)  # of keys and values
        self._map_lock = threading.Lock()
        self._rope = RopeTable(rope_frequencies(shape.head_dim, shape.max_period))
        self._storage = np.empty(0, np.uint16 if shape.dtype is torch.bfloat16 else np.float32)
        compile_for(self._storage)
        if shared:  # map everything now: forked processes do not see later mappings
            assert context is not None, "only ring buffers are mapped whole"
            for group in range(len(self._pages_by_group)):
                self._pages(group, 1)

    def reset(self, slot: int, prefix: Prefix | None = None) -> None:
        """Forget what the slot held and start behind `prefix`."""
        self._prefixes[slot] = prefix
        self._prefix_table[:, slot] = (
            (0, 0, 0) if prefix is None else (prefix.positions, prefix.keys.data_ptr(), prefix.values.data_ptr())
        )
        self._positions_np[slot] = _prefix_length(prefix)

    def export_prefix(self, slot: int) -> Prefix:
        """Copy everything that a slot without a context holds into a new prefix."""
        prefix, end = self._prefixes[slot], int(self.positions[slot])
        pages, index = self._pages(slot // PAGE_SLOTS, end - _prefix_length(prefix)), slot % PAGE_SLOTS
        before = [prefix] if prefix else []
        keys = [each.keys for each in before] + [page.keys[:, index] for page in pages]
        values = [each.values for each in before] + [page.values[:, index] for page in pages]
        return Prefix(*(torch.cat(parts, dim=2)[:, :, :end].clone() for parts in (keys, values)))

    def attention_metadata(self, slots: Tensor, lengths: Tensor | int) -> AttentionMetadata:
        """Metadata of a pass over the next `lengths` positions, `[rows]` or the same for all, of `slots` `[rows]`."""
        rows = slots.numpy()
        positions = self._positions_np[rows]
        query_lengths = np.empty_like(positions)
        query_lengths[:] = lengths
        block_table, pages = self._block_table(rows, positions, query_lengths)
        slack = UNLIMITED if self._context is None else np.maximum(self._context - 1 - positions, 0)
        window_slack = np.empty_like(positions)
        window_slack[:] = slack
        cos_sin = self._rope.cos_sin(positions, query_lengths)
        batch = AttentionBatch(block_table, query_lengths, window_slack, self._storage, cos_sin)
        return AttentionMetadata(batch, keep_alive=([self._prefixes[slot] for slot in rows.tolist()], pages))

    def advance(self, slots: Tensor, lengths: Tensor | int) -> None:
        """Move the next positions of `slots` on."""
        self._positions_np[slots.numpy()] += lengths if isinstance(lengths, int) else lengths.numpy()

    def rewind(self, slot: int, positions: int) -> None:
        """Forget the last positions of a slot without a context."""
        assert self._context is None, "a ring buffer has overwritten what was before"
        self._positions_np[slot] -= positions
        assert self._positions_np[slot] >= _prefix_length(self._prefixes[slot]), "the prefix stays"

    def _block_table(
        self, slots: np.ndarray, positions: np.ndarray, query_lengths: np.ndarray
    ) -> "tuple[BlockTable, list[list[Page]]]":
        """A row's blocks: its prefix, then its pages; or of a ring the older part, then the part that wrapped around.

        Also returns the pages, whose memory the addresses point into.
        """
        prefix_lengths, *prefix_addresses = self._prefix_table[:, slots]
        ends = positions + query_lengths - prefix_lengths  # own positions, with the new ones
        groups, indices = slots // PAGE_SLOTS, slots % PAGE_SLOTS
        size = self._page_positions
        pages = [self._pages(group, int(ends.max())) for group in set(groups.tolist())]
        blocks = 1 + (2 if self._ring_size else len(pages[0]))
        counts, firsts = np.empty((2, len(slots), blocks), np.int64)
        counts[:, 0], firsts[:, 0] = prefix_lengths, 0
        if self._context is None:
            counts[:, 1:] = np.clip(ends[:, None] - size * np.arange(blocks - 1), 0, size)
            firsts[:, 1:] = 0
        else:
            visible = np.minimum(ends, self._context - 1 + query_lengths)
            firsts[:, 1], firsts[:, 2] = (ends - visible) % size, 0
            counts[:, 1] = np.minimum(visible, size - firsts[:, 1])
            counts[:, 2] = visible - counts[:, 1]
        position_bytes = self.shape.head_dim * self.shape.dtype.itemsize
        slot_bytes = self.shape.kv_heads * size * position_bytes
        addresses = np.empty((2, len(slots), blocks), np.int64)
        addresses[:, :, 0] = prefix_addresses
        addresses[:, :, 1:] = self._page_addresses[:, groups, : blocks - 1] + (slot_bytes * indices)[:, None]
        addresses[:, :, 1:] += position_bytes * firsts[:, 1:]
        layer_strides, head_strides = np.empty((2, len(slots), blocks), np.int64)
        layer_strides[:, 0] = self.shape.kv_heads * position_bytes * prefix_lengths
        layer_strides[:, 1:] = PAGE_SLOTS * slot_bytes
        head_strides[:, 0], head_strides[:, 1:] = position_bytes * prefix_lengths, size * position_bytes
        return BlockTable(addresses[0], addresses[1], counts, layer_strides, head_strides), pages

    def _pages(self, group: int, end: int) -> "list[Page]":
        """The pages of a group that hold its first `end` positions; mapped if they are new."""
        count = -(-end // self._page_positions) if self._ring_size is None else 1
        pages = self._pages_by_group[group]
        if len(pages) < count:
            with self._map_lock:
                while len(pages) < count:
                    self._map_page(group)
        return pages[:count]

    def _map_page(self, group: int) -> None:
        shape, pages, old = self.shape, self._pages_by_group[group], self._page_addresses
        size = (shape.layers, PAGE_SLOTS, shape.kv_heads, self._page_positions, shape.head_dim)
        page = Page(*(mapped_zeros(size, shape.dtype, shape.device, self._shared) for _ in range(2)))
        addresses = np.zeros((2, old.shape[1], max(old.shape[2], len(pages) + 1)), np.int64)
        addresses[:, :, : old.shape[2]] = old
        addresses[:, group, len(pages)] = page.keys.data_ptr(), page.values.data_ptr()
        self._page_addresses = addresses
        pages.append(page)


@dataclass(frozen=True, slots=True, eq=False)
class Page:
    """`[layers, PAGE_SLOTS, kv_heads, positions, head_dim]`."""

    keys: Tensor
    values: Tensor


def _prefix_length(prefix: Prefix | None) -> int:
    return prefix.positions if prefix else 0


def mapped_zeros(shape: tuple[int, ...], dtype: torch.dtype, device: torch.device, shared: bool = False) -> Tensor:
    """Zeros whose memory becomes resident page by page, on first write. `shared` with processes forked later."""
    if device.type != "cpu":
        return torch.zeros(shape, dtype=dtype, device=device)
    size = math.prod(shape) * dtype.itemsize
    flags = {}
    if hasattr(mmap, "MAP_PRIVATE"):
        flags["flags"] = (mmap.MAP_SHARED if shared else mmap.MAP_PRIVATE) | mmap.MAP_ANONYMOUS
    return torch.frombuffer(mmap.mmap(-1, size, **flags), dtype=dtype).view(shape)

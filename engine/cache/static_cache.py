"""KV cache in static shapes, for accelerators: all slots in tensors that never move.

Positions and block tables live on the device, and the metadata of a pass is computed there, so the host never waits.
There is one slot more than asked for, the scratch slot, for rows that pad a batch to its bucket: it stays at position 0
and nobody reads what is written there.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from sayline_tts.engine.cache.kv_cache import CacheShape
from sayline_tts.engine.cache.rope import apply_rope, rope_factors, rope_frequencies

ALIGNMENT = 16  # of ring sizes: fused attention kernels want masks aligned so


class StaticCache:
    """`pages` pages of `page_positions` each. `table` `[slots + 1, columns]` is the block table: the pages of each
    slot.

    `context` limits how far a query looks back; then each slot has one page, used as a ring buffer.
    """

    def __init__(self, shape: CacheShape, pages: int, page_positions: int, table: Tensor,
                 context: int | None = None) -> None:  # fmt: skip
        self.shape, self.page_positions, self.table, self.context = shape, page_positions, table, context
        self.keys, self.values = self._new_pages(pages), self._new_pages(pages)
        self.positions = torch.zeros(len(table), dtype=torch.long, device=shape.device)  # next position of each slot
        self._frequencies = rope_frequencies(shape.head_dim, shape.max_period).to(shape.device)

    @property
    def scratch_slot(self) -> int:
        """The slot of padding rows."""
        return len(self.table) - 1

    def attention_metadata(self, slots: Tensor, length: int, columns: int | None = None) -> "StaticAttentionMetadata":
        """Metadata for the next `length` positions of `slots` `[rows]`, which lie in their first `columns` pages."""
        size, device = self.page_positions, self.shape.device
        first = self.positions.index_select(0, slots)[:, None]  # [rows, 1]
        queries = first + torch.arange(length, device=device)  # [rows, length]
        table = self.table.index_select(0, slots)[:, :columns]  # [rows, columns]
        logical = queries if self.context is None else queries % size
        return StaticAttentionMetadata(
            cache=self,
            pages=table.flatten(),
            write_index=self.physical_positions(table, logical).flatten(),
            mask=self._mask(queries, table.shape[1] * size),
            rope_factors=rope_factors(queries, self._frequencies),
            dtype=self.shape.dtype,
        )

    def physical_positions(self, table: Tensor, positions: Tensor) -> Tensor:
        """Flat indices into all pages of `positions` `[rows, any]`, by the rows' block tables `[rows, columns]`."""
        return table.gather(1, positions // self.page_positions) * self.page_positions + positions % self.page_positions

    def advance(self, slots: Tensor, lengths: Tensor | int) -> None:
        self.positions[slots] += lengths
        self.positions[self.scratch_slot].zero_()

    def _mask(self, queries: Tensor, width: int) -> Tensor:
        """Additive attention mask, 0 or minus infinity: `[rows, 1, length, width]`."""
        ring = None if self.context is None else self.page_positions
        return additive_mask(visible_positions(queries, width, ring, self.context), self.shape.dtype)[:, None]

    def _new_pages(self, count: int) -> Tensor:
        """Pages in attention's layout: `[layers, pages, page_positions, kv_heads, head_dim]`."""
        shape = self.shape
        size = (shape.layers, count, self.page_positions, shape.kv_heads, shape.head_dim)
        return torch.zeros(size, dtype=shape.dtype, device=shape.device)


class StaticRings(StaticCache):
    """Ring buffers for passes of `pass_length` positions that look back on `context` positions."""

    def __init__(self, shape: CacheShape, slots: int, context: int, pass_length: int) -> None:
        ring_size = -(-(context + pass_length - 1) // ALIGNMENT) * ALIGNMENT
        table = torch.arange(slots + 1, device=shape.device)[:, None]
        super().__init__(shape, slots + 1, ring_size, table, context)

    def reset(self, slot: int) -> None:
        """Set the slot back to position 0."""
        self.positions[slot].zero_()


@dataclass(frozen=True, slots=True)
class StaticAttentionMetadata:
    """Metadata of one pass over some slots, as `attention.AttentionMetadata`."""

    cache: StaticCache
    pages: Tensor  # [rows * columns]
    write_index: Tensor  # [rows * length]: physical positions of the new keys and values
    mask: Tensor  # [rows, 1, length, columns * page_positions]
    rope_factors: Tensor  # [rows, length, head_dim / 2], complex
    dtype: torch.dtype
    on_queries: Callable[[int, Tensor], None] | None = None  # called with each layer's queries

    def attend(self, layer: int, qkv: Tensor, heads: int) -> Tensor:
        """As `attention.AttentionMetadata.attend`; `qkv` is `[rows, length, heads + 2 * kv_heads, head_dim]`."""
        rows, length, all_heads, dim = qkv.shape
        kv_heads = (all_heads - heads) // 2
        rotated = apply_rope(qkv[:, :, : heads + kv_heads], self.rope_factors).to(self.dtype)
        queries, new_keys = rotated.split([heads, kv_heads], dim=2)
        new_values = qkv[:, :, heads + kv_heads :].to(self.dtype)
        if self.on_queries is not None:
            self.on_queries(layer, queries)
        gqa_group = heads // kv_heads  # queries that share a key are handled as more queries of it
        q = queries.unflatten(2, (-1, gqa_group)).permute(0, 2, 3, 1, 4).flatten(2, 3)
        k, v = (
            self._store_and_gather(all_layers[layer], new).unflatten(0, (rows, -1)).flatten(1, 2).transpose(1, 2)
            for all_layers, new in ((self.cache.keys, new_keys), (self.cache.values, new_values))
        )  # [rows, kv_heads, width, head_dim]
        mask = self.mask if gqa_group == 1 or length == 1 else self.mask.repeat(1, 1, gqa_group, 1)
        out = F.scaled_dot_product_attention(q, k, v, attn_mask=mask, scale=1.0)
        by_query: Tensor = out.unflatten(2, (gqa_group, length)).permute(0, 3, 1, 2, 4)
        return by_query.reshape(rows, length, heads, dim)

    def _store_and_gather(self, stored: Tensor, new: Tensor) -> Tensor:
        """Store new keys or values; return all pages of this pass, `[rows * columns, page_positions, kv_heads,
        head_dim]`.
        """
        stored.flatten(0, 1).index_copy_(0, self.write_index, new.flatten(0, 1))
        return stored.index_select(0, self.pages)


def visible_positions(queries: Tensor, width: int, ring: int | None, context: int | None) -> Tensor:
    """Which of `width` positions each of the newest positions `queries` `[rows, length]` may attend to.

    Returns bools `[rows, length, width]`. In a `ring` of so many positions each holds the latest one written to it.
    """
    position_of = torch.arange(width, device=queries.device)
    if ring is not None:
        newest = queries[:, -1:]
        position_of = newest - (newest - position_of) % ring  # [rows, width]: the position that each entry holds
    age = queries[:, :, None] - position_of.view(-1, 1, width)  # [rows, length, width]
    visible = (age >= 0) & (age <= queries[:, :, None])
    return visible if context is None else visible & (age < context)


def additive_mask(visible: Tensor, dtype: torch.dtype) -> Tensor:
    """0 where visible, else minus infinity."""
    mask = torch.zeros(visible.shape, dtype=dtype, device=visible.device)
    return mask.masked_fill_(~visible, -math.inf)

"""Keys and values of many slots in one tensor that never moves, for accelerators: `cache.py` in static shapes.

Positions, and where each slot's pages are, lie on the device; a pass over some slots is computed there from their
numbers alone, and the host is never waited for. One more slot than there are, the last, is for rows that only fill up a
bucket: it is always at its beginning, and what they write there nobody reads.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from sayline_tts.engine.cache.kv_cache import CacheShape
from sayline_tts.engine.cache.rope import rotary_frequencies, rotate, rotation

ALIGNMENT = 16  # of a ring's places: kernels of attention want masks so


class StaticCache:
    """`pages` pages of `page_positions` each. `table` `[slots + 1, columns]` says which of them a slot has, in order.

    `context` limits how far a query looks back; then a slot has one page, which is a ring.
    """

    def __init__(self, shape: CacheShape, pages: int, page_positions: int, table: Tensor,
                 context: int | None = None) -> None:  # fmt: skip
        self.shape, self.page_positions, self.table, self.context = shape, page_positions, table, context
        self.keys, self.values = self._new_pages(pages), self._new_pages(pages)
        self.positions = torch.zeros(len(table), dtype=torch.long, device=shape.device)  # the next of each slot
        self._frequencies = rotary_frequencies(shape.head_dim, shape.max_period).to(shape.device)

    @property
    def scratch(self) -> int:
        """The slot of rows that only fill up."""
        return len(self.table) - 1

    def span(self, slots: Tensor, length: int, columns: int | None = None) -> "StaticSpan":
        """The next `length` positions of `slots` `[rows]`, which lie in the first `columns` of their pages."""
        size, device = self.page_positions, self.shape.device
        first = self.positions.index_select(0, slots)[:, None]  # [rows, 1]
        queries = first + torch.arange(length, device=device)  # [rows, length]
        table = self.table.index_select(0, slots)[:, :columns]  # [rows, columns]
        places = queries if self.context is None else queries % size
        return StaticSpan(
            cache=self,
            pages=table.flatten(),
            into=self.places(table, places).flatten(),
            mask=self._mask(queries, table.shape[1] * size),
            rotation=rotation(queries, self._frequencies),
            dtype=self.shape.dtype,
        )

    def places(self, table: Tensor, positions: Tensor) -> Tensor:
        """Where `positions` `[rows, any]` of rows with these pages `[rows, columns]` lie, counted through all pages."""
        return table.gather(1, positions // self.page_positions) * self.page_positions + positions % self.page_positions

    def advance(self, slots: Tensor, lengths: Tensor | int) -> None:
        self.positions[slots] += lengths
        self.positions[self.scratch].zero_()

    def _mask(self, queries: Tensor, width: int) -> Tensor:
        """What to add to scores: 0 where visible, else minus infinity. `[rows, 1, length, width]`."""
        ring = None if self.context is None else self.page_positions
        return added_to_scores(visible_places(queries, width, ring, self.context), self.shape.dtype)[:, None]

    def _new_pages(self, count: int) -> Tensor:
        """As attention reads them: `[layers, pages, page_positions, kv_heads, head_dim]`."""
        shape = self.shape
        size = (shape.layers, count, self.page_positions, shape.kv_heads, shape.head_dim)
        return torch.zeros(size, dtype=shape.dtype, device=shape.device)


class StaticRings(StaticCache):
    """For passes of `pass_length` that look back on `context` positions."""

    def __init__(self, shape: CacheShape, slots: int, context: int, pass_length: int) -> None:
        places = -(-(context + pass_length - 1) // ALIGNMENT) * ALIGNMENT
        table = torch.arange(slots + 1, device=shape.device)[:, None]
        super().__init__(shape, slots + 1, places, table, context)

    def begin(self, slot: int) -> None:
        """Forget what the slot held."""
        self.positions[slot].zero_()


@dataclass(frozen=True, slots=True)
class StaticSpan:
    """One pass over some slots: what `attention.Span` is to layers."""

    cache: StaticCache
    pages: Tensor  # [rows * columns]
    into: Tensor  # [rows * length]: where the new positions go, counted through all pages
    mask: Tensor  # [rows, 1, length, columns * page_positions]
    rotation: Tensor  # [rows, length, head_dim / 2], complex
    dtype: torch.dtype
    keep: Callable[[int, Tensor], None] | None = None  # is shown the queries of each layer

    def attend(self, layer: int, projected: Tensor, heads: int) -> Tensor:
        """As `attention.Span.attend`; `projected` `[rows, length, heads + 2 * kv_heads, head_dim]`."""
        rows, length, every, dim = projected.shape
        kv_heads = (every - heads) // 2
        turned = rotate(projected[:, :, : heads + kv_heads], self.rotation).to(self.dtype)
        queries, new_keys = turned.split([heads, kv_heads], dim=2)
        new_values = projected[:, :, heads + kv_heads :].to(self.dtype)
        if self.keep is not None:
            self.keep(layer, queries)
        sharing = heads // kv_heads  # queries that share a key are as good as more queries of it
        q = queries.unflatten(2, (-1, sharing)).permute(0, 2, 3, 1, 4).flatten(2, 3)
        k, v = (
            self._renewed(all_layers[layer], new).unflatten(0, (rows, -1)).flatten(1, 2).transpose(1, 2)
            for all_layers, new in ((self.cache.keys, new_keys), (self.cache.values, new_values))
        )  # [rows, kv_heads, width, head_dim]
        mask = self.mask if sharing == 1 or length == 1 else self.mask.repeat(1, 1, sharing, 1)
        heard = F.scaled_dot_product_attention(q, k, v, attn_mask=mask, scale=1.0)
        by_query: Tensor = heard.unflatten(2, (sharing, length)).permute(0, 3, 1, 2, 4)
        return by_query.reshape(rows, length, heads, dim)

    def _renewed(self, stored: Tensor, new: Tensor) -> Tensor:
        """Store what is new; all pages of this pass, `[rows * columns, page_positions, kv_heads, head_dim]`."""
        stored.flatten(0, 1).index_copy_(0, self.into, new.flatten(0, 1))
        return stored.index_select(0, self.pages)


def visible_places(queries: Tensor, width: int, ring: int | None, context: int | None) -> Tensor:
    """Which of `width` places each of the newest positions `queries` `[rows, length]` may look at.

    `[rows, length, width]`, where the queries are. With a `ring` of so many places, a place holds the last position
    that came there.
    """
    held = torch.arange(width, device=queries.device)
    if ring is not None:
        newest = queries[:, -1:]
        held = newest - (newest - held) % ring  # [rows, width]: the position that each place holds
    age = queries[:, :, None] - held.view(-1, 1, width)  # [rows, length, width]
    visible = (age >= 0) & (age <= queries[:, :, None])
    return visible if context is None else visible & (age < context)


def added_to_scores(visible: Tensor, dtype: torch.dtype) -> Tensor:
    """0 where visible, else minus infinity."""
    mask = torch.zeros(visible.shape, dtype=dtype, device=visible.device)
    return mask.masked_fill_(~visible, -math.inf)

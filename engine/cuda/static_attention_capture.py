"""How rows look at their texts, in static shapes: what `watch.Watch` is, for accelerators.

Fused attention tells no scores. So a pass keeps the queries that are asked, of the heads that matter, which costs a
small copy; and as the keys of a text stay where they are, its scores are work of their own, behind the pass, done only
where somebody asks.
"""

from collections.abc import Sequence
from dataclasses import replace
from functools import partial

import torch
from torch import Tensor

from sayline_tts.engine.cache.static_cache import StaticCache, StaticSpan
from sayline_tts.engine.checkpoint.alignment_heads import AlignmentHeads
from sayline_tts.engine.cuda.graphs import Buffer

USUAL_TOKENS = 64  # what a text is looked at in; longer ones in the next power of two

Asked = tuple[slice | Tensor, int | Tensor]  # which of queries `[rows, length]`, one of each row


class StaticWatch:
    """`slots` are those of each row of a pass, and lie on the device. `query_heads`: of a layer. Without `heads` nobody
    is told anything, and nothing is kept.
    """

    def __init__(self, heads: AlignmentHeads | None, query_heads: int, cache: StaticCache, slots: Tensor) -> None:
        self._heads = heads.heads if heads else ()
        self._cache, self._slots, self._device = cache, slots, cache.shape.device
        sharing = query_heads // cache.shape.kv_heads
        index = partial(torch.tensor, dtype=torch.long, device=self._device)
        self._layers = index([layer for layer, _ in self._heads])[:, None]
        self._kv_heads = index([head // sharing for _, head in self._heads])[:, None]
        self._queries = torch.zeros(len(slots), len(self._heads), cache.shape.head_dim, device=self._device)
        self._begins = torch.zeros_like(cache.positions)  # of each slot's text
        self._scores: dict[int, Buffer] = {}  # by width

    def begin(self, rows: int) -> None:
        """What comes next in each of the first `rows` is a text."""
        slots = self._slots[:rows]
        self._begins.index_copy_(0, slots, self._cache.positions.index_select(0, slots))

    def over(self, span: StaticSpan, asked: Asked) -> StaticSpan:
        """This pass, of which these queries are kept."""
        return replace(span, keep=partial(self._keep, asked))

    def width(self, lengths: Sequence[int]) -> int:
        """So many tokens are to be looked at for texts of these lengths. 0: nobody asks (a length of 0), or can."""
        longest = max(lengths, default=0) if self._heads else 0
        return max(USUAL_TOKENS, 1 << (longest - 1).bit_length()) if longest else 0

    def look(self, rows: int, width: int) -> None:
        """How the queries of the last pass score the first `width` positions from each one's text on."""
        cache, slots = self._cache, self._slots[:rows]
        table = cache.table.index_select(0, slots)
        positions = self._begins.index_select(0, slots)[:, None] + torch.arange(width, device=self._device)
        last = table.shape[1] * cache.page_positions - 1  # who is near it has a text that ends before
        places = cache.places(table, positions.clamp(max=last))[:, None]  # [rows, 1, width]
        keys = cache.keys.flatten(1, 2)[self._layers, places, self._kv_heads]  # [rows, heads, width, head_dim]
        self._out(width).there[:rows].copy_((keys.float() @ self._queries[:rows, :, :, None]).squeeze(-1))

    def fetch(self, rows: int, width: int) -> Tensor:
        """What `look` saw, `[heads, rows, width]`, as `Buffer.fetch`. Behind a row's text it means nothing."""
        return self._out(width).fetch(rows).transpose(0, 1)

    def _keep(self, asked: Asked, layer: int, queries: Tensor) -> None:
        for number, (of_layer, head) in enumerate(self._heads):
            if of_layer == layer:
                self._queries[: len(queries), number].copy_(queries[:, :, head][asked])

    def _out(self, width: int) -> Buffer:
        if width not in self._scores:
            self._scores[width] = Buffer(len(self._slots), (len(self._heads), width), torch.float32, self._device)
        return self._scores[width]

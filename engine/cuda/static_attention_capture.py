"""Text attention in static shapes, for accelerators: the counterpart of `AttentionCapture`.

Fused attention does not return scores. So each pass copies the queries of the alignment heads, which is cheap; and as
the keys of a text stay in the cache, the scores are computed by a separate work after the pass, only when requested.
"""

from collections.abc import Sequence
from dataclasses import replace
from functools import partial

import torch
from torch import Tensor

from sayline_tts.engine.cache.static_cache import StaticAttentionMetadata, StaticCache
from sayline_tts.engine.checkpoint.alignment_heads import AlignmentHeads
from sayline_tts.engine.cuda.graphs import StagingBuffer

MIN_WIDTH_TOKENS = 64  # width of scores; longer texts take the next power of two

QueryIndex = tuple[slice | Tensor, int | Tensor]  # indices into queries `[rows, length]`, one per row


class StaticAttentionCapture:
    """`slots` are those of the rows of a pass, on the device. `query_heads`: heads of a layer. Without `heads` nothing
    is captured.
    """

    def __init__(self, heads: AlignmentHeads | None, query_heads: int, cache: StaticCache, slots: Tensor) -> None:
        self._heads = heads.heads if heads else ()
        self._cache, self._slots, self._device = cache, slots, cache.shape.device
        gqa_group = query_heads // cache.shape.kv_heads
        index = partial(torch.tensor, dtype=torch.long, device=self._device)
        self._layers = index([layer for layer, _ in self._heads])[:, None]
        self._kv_heads = index([head // gqa_group for _, head in self._heads])[:, None]
        self._queries = torch.zeros(len(slots), len(self._heads), cache.shape.head_dim, device=self._device)
        self._text_starts = torch.zeros_like(cache.positions)  # start of each slot's text
        self._scores: dict[int, StagingBuffer] = {}  # by width

    def mark_text_start(self, rows: int) -> None:
        """The next position of each of the first `rows` starts a text."""
        slots = self._slots[:rows]
        self._text_starts.index_copy_(0, slots, self._cache.positions.index_select(0, slots))

    def capturing(self, metadata: StaticAttentionMetadata, query_index: QueryIndex) -> StaticAttentionMetadata:
        """Metadata of a pass that captures these queries."""
        return replace(metadata, on_queries=partial(self._store_queries, query_index))

    def score_width(self, lengths: Sequence[int]) -> int:
        """Number of tokens to score for texts of these lengths. 0: nothing is requested (all lengths are 0), or no
        heads.
        """
        longest = max(lengths, default=0) if self._heads else 0
        return max(MIN_WIDTH_TOKENS, 1 << (longest - 1).bit_length()) if longest else 0

    def compute_scores(self, rows: int, width: int) -> None:
        """Score the first `width` positions of each row's text against the captured queries."""
        cache, slots = self._cache, self._slots[:rows]
        table = cache.table.index_select(0, slots)
        positions = self._text_starts.index_select(0, slots)[:, None] + torch.arange(width, device=self._device)
        last = table.shape[1] * cache.page_positions - 1  # a row near the end of its pages has a shorter text
        physical_positions = cache.physical_positions(table, positions.clamp(max=last))[:, None]  # [rows, 1, width]
        keys = cache.keys.flatten(1, 2)[
            self._layers, physical_positions, self._kv_heads
        ]  # [rows, heads, width, head_dim]
        self._buffer(width).device_rows[:rows].copy_((keys.float() @ self._queries[:rows, :, :, None]).squeeze(-1))

    def download(self, rows: int, width: int) -> Tensor:
        """Scores `[heads, rows, width]`, as `StagingBuffer.download`. Values behind a row's text are undefined."""
        return self._buffer(width).download(rows).transpose(0, 1)

    def _store_queries(self, query_index: QueryIndex, layer: int, queries: Tensor) -> None:
        for index_, (captured_layer, head) in enumerate(self._heads):
            if captured_layer == layer:
                self._queries[: len(queries), index_].copy_(queries[:, :, head][query_index])

    def _buffer(self, width: int) -> StagingBuffer:
        if width not in self._scores:
            self._scores[width] = StagingBuffer(
                len(self._slots), (len(self._heads), width), torch.float32, self._device
            )
        return self._scores[width]

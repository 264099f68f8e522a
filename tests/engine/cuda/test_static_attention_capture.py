"""engine/cuda/static_attention_capture.py: what `watch.Watch` writes down of the same passes, wherever the texts lie."""

from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from sayline_tts.engine.cache.kv_cache import Prefix
from sayline_tts.engine.cache.rope import apply_rope, rope_factors, rope_frequencies
from sayline_tts.engine.cache.static_pages import StaticPages
from sayline_tts.engine.checkpoint.alignment_heads import AlignmentHeads
from sayline_tts.engine.cuda.static_attention_capture import MIN_WIDTH_TOKENS, StaticAttentionCapture
from sayline_tts.engine.kernels.attention_capture import AttentionCapture
from tests.engine.cache.test_static_cache import ordinary, shape_of, some

SLOTS, QUERY_HEADS, KV_HEADS = 4, 6, 2
HEADS = AlignmentHeads(((0, 1), (0, 5), (0, 3)))


def capture_of(columns: int = 8) -> tuple[StaticPages, StaticAttentionCapture, Tensor]:
    pages = StaticPages(shape_of(KV_HEADS), SLOTS, columns)
    slots = torch.full((SLOTS,), pages.scratch_slot)
    return pages, StaticAttentionCapture(HEADS, QUERY_HEADS, pages, slots), slots


@settings(max_examples=40)
@given(
    st.lists(st.tuples(st.integers(1, 150), st.integers(0, 130)), min_size=1, max_size=SLOTS),
    st.permutations(range(SLOTS)),
)
def test_scores_are_those_that_the_ordinary_cache_writes_down(rows: list[tuple[int, int]], order: list[int]) -> None:
    """Of texts of all lengths, each behind a prefix (0: none) of its own; as they pass, and a frame behind them."""
    pages, capture, slots = capture_of()
    plain = ordinary(SLOTS, None, 1, KV_HEADS)
    chosen, lengths = order[: len(rows)], [length for length, _ in rows]
    for slot, (_, before) in zip(chosen, rows, strict=True):
        keys, values = torch.randn(2, 1, KV_HEADS, before, 2, generator=torch.Generator().manual_seed(slot))
        for cache in (pages, plain):
            cache.reset(slot, Prefix(keys, values) if before else None)
    slots[: len(rows)] = torch.tensor(chosen)
    width, ends = capture.score_width(lengths), torch.tensor(lengths)
    assert width >= max(lengths)
    capture.mark_text_start(len(rows))
    for number, passed in enumerate((ends, torch.ones_like(ends))):
        asked = AttentionCapture(HEADS.by_layer, range(len(rows)), max(lengths))
        longest = int(passed.max())
        theirs = replace(plain.attention_metadata(torch.tensor(chosen), passed), capture=asked)
        ours = pages.attention_metadata(torch.tensor(chosen), longest, pages.reserve(chosen, passed.tolist()))
        passing = some(len(rows), longest, QUERY_HEADS, KV_HEADS, number)
        capture.capturing(ours, (torch.arange(len(rows)), passed - 1)).attend(0, passing, QUERY_HEADS)
        packed = torch.cat([row[:length] for row, length in zip(passing, passed.tolist(), strict=True)])
        theirs.attend(0, packed, QUERY_HEADS)
        for cache in (pages, plain):
            cache.advance(torch.tensor(chosen), passed)
        capture.compute_scores(SLOTS, width)
        found = capture.download(len(rows), width)
        for row, length in enumerate(lengths):
            wanted = torch.stack(asked.scores)[:, row, :length]
            torch.testing.assert_close(found[:, row, :length], wanted, atol=1e-5, rtol=1e-5)


def test_other_layers_are_not_kept() -> None:
    pages, capture, slots = capture_of()
    slots[0] = 2
    capture.mark_text_start(1)
    metadata = capture.capturing(pages.attention_metadata(slots[:1], 1, pages.reserve([2], [1])), (slice(None), 0))
    projected = some(1, 1, QUERY_HEADS, KV_HEADS, 0)
    metadata.attend(0, projected, QUERY_HEADS)  # at position 0 nothing turns
    queries, kept = projected[:, :, :QUERY_HEADS], capture._queries.clone()
    assert kept[0].equal(queries[0, 0, [head for _, head in HEADS.heads]])
    assert metadata.on_queries is not None
    metadata.on_queries(1, -queries)
    assert capture._queries.equal(kept)


def test_a_text_at_the_end_of_all_that_its_row_can_have_is_looked_at() -> None:
    pages, capture, slots = capture_of(columns=1)
    pages.reset(0, Prefix(*torch.randn(2, 1, KV_HEADS, pages.page_positions - 2, 2)))
    slots[0] = 0
    capture.mark_text_start(1)
    projected, at = some(1, 2, QUERY_HEADS, KV_HEADS, 0), pages.page_positions - 2 + torch.arange(2)
    metadata = pages.attention_metadata(slots[:1], 2, pages.reserve([0], [2]))
    capture.capturing(metadata, (slice(None), 1)).attend(0, projected, QUERY_HEADS)
    assert pages.columns == 1
    capture.compute_scores(1, capture.score_width([2]))
    turned = apply_rope(projected[0, :, :-KV_HEADS], rope_factors(at, rope_frequencies(2, 10000.0)))
    queries, keys = turned[1, :QUERY_HEADS], turned[:, QUERY_HEADS:]
    wanted = torch.stack([keys[:, head // 3] @ queries[head] for _, head in HEADS.heads])
    torch.testing.assert_close(capture.download(1, capture.score_width([2]))[:, 0, :2], wanted)


@pytest.mark.parametrize(
    ("lengths", "wanted"),
    [((), 0), ((0, 0), 0), ((1,), MIN_WIDTH_TOKENS), ((0, 64), 64), ((65, 3), 128), ((128,), 128), ((1000, 0), 1024)],
)
def test_there_are_few_widths(lengths: tuple[int, ...], wanted: int) -> None:
    pages, capture, slots = capture_of()
    assert capture.score_width(lengths) == wanted
    assert StaticAttentionCapture(None, QUERY_HEADS, pages, slots).score_width(lengths) == 0

"""Static attention capture against that of the CPU cache, wherever the texts are."""

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
from tests.engine.cache.test_static_cache import cpu_cache, shape_of, some

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
def test_scores_equal_those_captured_on_the_cpu(rows: list[tuple[int, int]], order: list[int]) -> None:
    """Texts of any length behind prefixes of any length (0: none), in the prefill pass and one frame later."""
    pages, capture, slots = capture_of()
    cpu = cpu_cache(SLOTS, None, 1, KV_HEADS)
    chosen, lengths = order[: len(rows)], [length for length, _ in rows]
    for slot, (_, before) in zip(chosen, rows, strict=True):
        keys, values = torch.randn(2, 1, KV_HEADS, before, 2, generator=torch.Generator().manual_seed(slot))
        for cache in (pages, cpu):
            cache.reset(slot, Prefix(keys, values) if before else None)
    slots[: len(rows)] = torch.tensor(chosen)
    width, ends = capture.score_width(lengths), torch.tensor(lengths)
    assert width >= max(lengths)
    capture.mark_text_start(len(rows))
    for number, pass_lengths in enumerate((ends, torch.ones_like(ends))):
        expected_capture = AttentionCapture(HEADS.by_layer, range(len(rows)), max(lengths))
        longest = int(pass_lengths.max())
        theirs = replace(cpu.attention_metadata(torch.tensor(chosen), pass_lengths), capture=expected_capture)
        ours = pages.attention_metadata(torch.tensor(chosen), longest, pages.reserve(chosen, pass_lengths.tolist()))
        qkv = some(len(rows), longest, QUERY_HEADS, KV_HEADS, number)
        capture.capturing(ours, (torch.arange(len(rows)), pass_lengths - 1)).attend(0, qkv, QUERY_HEADS)
        packed = torch.cat([row[:length] for row, length in zip(qkv, pass_lengths.tolist(), strict=True)])
        theirs.attend(0, packed, QUERY_HEADS)
        for cache in (pages, cpu):
            cache.advance(torch.tensor(chosen), pass_lengths)
        capture.compute_scores(SLOTS, width)
        found = capture.download(len(rows), width)
        for row, length in enumerate(lengths):
            expected = torch.stack(expected_capture.scores)[:, row, :length]
            torch.testing.assert_close(found[:, row, :length], expected, atol=1e-5, rtol=1e-5)


def test_queries_of_other_layers_are_not_kept() -> None:
    pages, capture, slots = capture_of()
    slots[0] = 2
    capture.mark_text_start(1)
    metadata = capture.capturing(pages.attention_metadata(slots[:1], 1, pages.reserve([2], [1])), (slice(None), 0))
    projected = some(1, 1, QUERY_HEADS, KV_HEADS, 0)
    metadata.attend(0, projected, QUERY_HEADS)  # at position 0 nothing rotates
    queries, kept = projected[:, :, :QUERY_HEADS], capture._queries.clone()
    assert kept[0].equal(queries[0, 0, [head for _, head in HEADS.heads]])
    assert metadata.on_queries is not None
    metadata.on_queries(1, -queries)
    assert capture._queries.equal(kept)


def test_text_at_the_end_of_its_pages_is_scored() -> None:
    pages, capture, slots = capture_of(columns=1)
    pages.reset(0, Prefix(*torch.randn(2, 1, KV_HEADS, pages.page_positions - 2, 2)))
    slots[0] = 0
    capture.mark_text_start(1)
    projected, at = some(1, 2, QUERY_HEADS, KV_HEADS, 0), pages.page_positions - 2 + torch.arange(2)
    metadata = pages.attention_metadata(slots[:1], 2, pages.reserve([0], [2]))
    capture.capturing(metadata, (slice(None), 1)).attend(0, projected, QUERY_HEADS)
    assert pages.columns == 1
    capture.compute_scores(1, capture.score_width([2]))
    rotated = apply_rope(projected[0, :, :-KV_HEADS], rope_factors(at, rope_frequencies(2, 10000.0)))
    queries, keys = rotated[1, :QUERY_HEADS], rotated[:, QUERY_HEADS:]
    expected = torch.stack([keys[:, head // 3] @ queries[head] for _, head in HEADS.heads])
    torch.testing.assert_close(capture.download(1, capture.score_width([2]))[:, 0, :2], expected)


@pytest.mark.parametrize(
    ("lengths", "expected"),
    [((), 0), ((0, 0), 0), ((1,), MIN_WIDTH_TOKENS), ((0, 64), 64), ((65, 3), 128), ((128,), 128), ((1000, 0), 1024)],
)
def test_widths_are_powers_of_two(lengths: tuple[int, ...], expected: int) -> None:
    pages, capture, slots = capture_of()
    assert capture.score_width(lengths) == expected
    assert StaticAttentionCapture(None, QUERY_HEADS, pages, slots).score_width(lengths) == 0

"""engine/glance.py: one query for each row hears what `cache.Span`, which copies and masks, lets it hear."""

from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from engine.cache import PAGE_POSITIONS, PAGE_SLOTS, CacheShape, KeyValueCache, Prefix, Span
from engine.glance import Glance
from engine.watch import Watch

LAYERS, KV_HEADS, HEADS, DIM = 2, 2, 6, 16
SHAPE = CacheShape(LAYERS, KV_HEADS, DIM, 10000.0, torch.bfloat16, torch.device("cpu"))


class Exact(KeyValueCache):
    """Always a whole span."""

    _glances = False


def some(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def filled(cache: KeyValueCache, lengths: dict[int, int], prefix_of: dict[int, Prefix | None]) -> KeyValueCache:
    """So many positions in the tails of some slots, behind their prefixes."""
    for slot, length in lengths.items():
        cache.begin(slot, prefix_of[slot])
        if length:
            span = cache.span(torch.tensor([slot]), length)
            for layer in range(LAYERS):
                past = some(2, 1, length, KV_HEADS, DIM, seed=slot + 100 * layer).to(span.dtype)
                span.attend(layer, torch.zeros(1, length, HEADS, DIM, dtype=span.dtype), past[0], past[1])
            cache.advance(torch.tensor([slot]), length)
    return cache


def step(span: Span | Glance, layer: int, rows: int) -> Tensor:
    """What rows hear who all say something new."""
    queries, new = some(rows, 1, HEADS, DIM, seed=layer), some(2, rows, 1, KV_HEADS, DIM, seed=7 + layer)
    return span.attend(layer, *(part.to(span.dtype) for part in (queries, *new))).float()


@settings(max_examples=40, deadline=None)
@given(
    st.dictionaries(st.integers(0, 2 * PAGE_SLOTS), st.integers(0, 2 * PAGE_POSITIONS + 1), min_size=1, max_size=5),
    st.lists(st.integers(0, 9), min_size=1, max_size=3),
)
def test_a_glance_hears_what_a_span_does(lengths: dict[int, int], prefixes: list[int]) -> None:
    kinds = [Prefix(*some(2, LAYERS, KV_HEADS, n, DIM, seed=n).bfloat16().unbind()) if n else None for n in prefixes]
    prefix_of = {slot: kinds[slot % len(kinds)] for slot in lengths}
    fast, exact = (filled(kind(SHAPE, 2 * PAGE_SLOTS + 1), lengths, prefix_of) for kind in (KeyValueCache, Exact))
    slots = torch.tensor(list(lengths))
    for _ in range(2):  # the second looks at what the first has written
        spans = fast.span(slots, 1), exact.span(slots, 1)
        assert isinstance(spans[0], Glance)
        assert isinstance(spans[1], Span)
        torch.testing.assert_close(spans[0].rotation, spans[1].rotation)
        for layer in range(LAYERS):
            heard, expected = (step(span, layer, len(slots)) for span in spans)
            torch.testing.assert_close(heard, expected, atol=0.1, rtol=0)  # a span rounds queries and weights
            assert (heard - expected).abs().mean() < 0.01
        for cache in (fast, exact):
            cache.advance(slots, 1)
    for slot in lengths:
        held, expected_there = fast.whole(slot), exact.whole(slot)
        torch.testing.assert_close(held.keys, expected_there.keys, atol=0, rtol=0)
        torch.testing.assert_close(held.values, expected_there.values, atol=0, rtol=0)


def test_a_row_hears_the_same_in_any_company() -> None:
    lengths = {3: 5, 4: 70, 40: 1}
    prefix = Prefix(*some(2, LAYERS, KV_HEADS, 4, DIM).bfloat16().unbind())
    prefix_of = {3: prefix, 4: None, 40: prefix}
    together, alone = (filled(KeyValueCache(SHAPE, 64), lengths, prefix_of) for _ in range(2))
    heard = step(together.span(torch.tensor([3, 4, 40]), 1), 1, 3)
    queries, new = some(3, 1, HEADS, DIM, seed=1), some(2, 3, 1, KV_HEADS, DIM, seed=8)
    for row, slot in enumerate(lengths):
        span = alone.span(torch.tensor([slot]), 1)
        of_row = span.attend(1, queries[row : row + 1], new[0, row : row + 1], new[1, row : row + 1])
        torch.testing.assert_close(of_row[0], heard[row], atol=0, rtol=0)


def test_scores_however_large_are_weighed() -> None:
    cache = filled(KeyValueCache(SHAPE, 1), {0: 3}, {0: None})
    loud = torch.full((1, 1, HEADS, DIM), 1e4)
    heard = cache.span(torch.tensor([0]), 1).attend(0, loud, torch.ones(1, 1, KV_HEADS, DIM), some(1, 1, KV_HEADS, DIM))
    torch.testing.assert_close(heard[0, 0, 0], some(1, 1, KV_HEADS, DIM)[0, 0, 0], atol=0.02, rtol=0.02)


@pytest.mark.parametrize("prefix", [0, 6])
def test_a_watch_writes_down_the_same_scores(prefix: int) -> None:
    before = Prefix(*some(2, LAYERS, KV_HEADS, prefix, DIM).bfloat16().unbind()) if prefix else None
    lengths, prefix_of = {0: 9, 2: 5}, {0: before, 2: before}
    caches = [filled(kind(SHAPE, 3), lengths, prefix_of) for kind in (KeyValueCache, Exact)]
    seen = []
    for cache in caches:
        watch = Watch({1: (0, 5)}, torch.tensor([1, 0]), torch.tensor([0, 0]), width=5)
        span = replace(cache.span(torch.tensor([0, 2]), 1), watch=watch)
        for layer in range(LAYERS):
            step(span, layer, 2)
        seen.append(torch.stack(watch.scores))
    assert seen[0].shape == (2, 2, 5)
    torch.testing.assert_close(seen[0], seen[1], atol=0.05, rtol=0.05)

"""engine/cache/kv_cache.py: what an endless memory would hold, for every row at its own place."""

import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from sayline_tts.engine.cache.kv_cache import (
    PAGE_POSITIONS,
    PAGE_SLOTS,
    CacheShape,
    KVCache,
    Prefix,
)

CPU = torch.device("cpu")


def cache_of(slots: int, context: int | None = None, pass_length: int = 1, kv_heads: int = 1) -> KVCache:
    return KVCache(CacheShape(1, kv_heads, 2, 10000.0, torch.float32, CPU), slots, context, pass_length)


def hear(cache: KVCache, slots: list[int], values: Tensor) -> Tensor:
    """Say `values` `[rows, length]`, all with the same key: each position hears the mean of what it may look at."""
    rows, length = values.shape
    projected = torch.zeros(rows, length, 3, 2)
    projected[:, :, 2] = values[..., None]
    heard = cache.attention_metadata(torch.tensor(slots), length).attend(0, projected, 1)
    cache.advance(torch.tensor(slots), length)
    return heard[:, :, 0, 0]


def means(values: Tensor, context: int | None = None) -> Tensor:
    """What each position of one row must hear, if nothing was before."""
    first = [0 if context is None else max(0, end - context) for end in range(1, len(values) + 1)]
    return torch.stack([values[start : end + 1].mean() for end, start in enumerate(first)])


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(1, 5), min_size=1, max_size=12), st.integers(1, 9))
def test_a_ring_shows_exactly_the_context_behind_each_position(passes: list[int], context: int) -> None:
    cache = cache_of(2, context, pass_length=5)
    values = torch.randn(sum(passes))
    heard = torch.cat([hear(cache, [1], part[None])[0] for part in values.split(passes)])
    torch.testing.assert_close(heard, means(values, context))


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(1, 2 * PAGE_POSITIONS), min_size=1, max_size=5))
def test_without_a_context_everything_before_is_heard_however_many_pages_it_fills(passes: list[int]) -> None:
    cache = cache_of(1)
    values = torch.randn(sum(passes))
    heard = torch.cat([hear(cache, [0], part[None])[0] for part in values.split(passes)])
    torch.testing.assert_close(heard, means(values), atol=1e-5, rtol=1e-5)


@settings(max_examples=30, deadline=None)
@given(st.sets(st.integers(0, 2 * PAGE_SLOTS + 3), min_size=1, max_size=8), st.randoms(use_true_random=False))
def test_rows_at_different_places_in_any_slots_hear_their_own_past_alone(slots: set[int], rng: object) -> None:
    cache = cache_of(2 * PAGE_SLOTS + 4)
    order = list(slots)
    rng.shuffle(order)  # type: ignore[attr-defined]
    whole = [torch.randn(slot % 7 + 3) for slot in order]
    for slot, values in zip(order, whole, strict=True):
        hear(cache, [slot], values[None, :-2])
    heard = hear(cache, order, torch.stack([values[-2:] for values in whole]))
    for row, values in zip(heard, whole, strict=True):
        torch.testing.assert_close(row, means(values)[-2:])


def test_rows_begin_behind_the_prefix_they_share_or_have_alone_or_have_not() -> None:
    cache = cache_of(4)
    short, long = (Prefix(torch.zeros(1, 1, n, 2), torch.full((1, 1, n, 2), float(n))) for n in (2, 5))
    for slot, prefix in enumerate([long, short, None, long]):
        cache.reset(slot, prefix)
    heard = hear(cache, [0, 1, 2, 3], torch.tensor([[1.0, 2.0]] * 4))
    for row, positions in enumerate([5, 2, 0, 5]):
        past = torch.tensor([float(positions)] * positions + [1.0, 2.0])
        torch.testing.assert_close(heard[row], means(past)[-2:])
    assert cache.positions.tolist() == [7, 4, 2, 7]


def test_a_slot_that_begins_anew_hears_nothing_of_what_it_held() -> None:
    for context in (None, 6):
        cache = cache_of(1, context)
        hear(cache, [0], torch.full((1, 1), 1e6))
        cache.reset(0)
        torch.testing.assert_close(hear(cache, [0], torch.tensor([[3.0]])), torch.tensor([[3.0]]))


def test_what_a_slot_holds_can_be_the_prefix_of_others() -> None:
    cache = cache_of(2)
    cache.reset(0, Prefix(torch.zeros(1, 1, 3, 2), torch.full((1, 1, 3, 2), 7.0)))
    hear(cache, [0], torch.tensor([[1.0, 2.0]]))
    cache.reset(1, cache.export_prefix(0))
    assert cache.positions[1] == 5
    after = hear(cache, [0, 1], torch.tensor([[4.0], [4.0]]))
    torch.testing.assert_close(after, torch.full((2, 1), (21 + 3 + 4) / 6))


def test_slots_that_nobody_uses_take_no_memory() -> None:
    """The whole would be 10 GB."""
    cache = KVCache(CacheShape(8, 16, 64, 10000.0, torch.float32, CPU), 10_000)
    cache.attention_metadata(torch.tensor([9_999]), 1).attend(0, torch.zeros(1, 48, 64), 16)

"""Pages and rings against the mean of everything that each position may see."""

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


def attend_mean(cache: KVCache, slots: list[int], values: Tensor) -> Tensor:
    """Store `values` `[rows, length]`, all with the same key: each position returns the mean of those it sees."""
    rows, length = values.shape
    projected = torch.zeros(rows, length, 3, 2)
    projected[:, :, 2] = values[..., None]
    out = cache.attention_metadata(torch.tensor(slots), length).attend(0, projected, 1)
    cache.advance(torch.tensor(slots), length)
    return out[:, :, 0, 0]


def means(values: Tensor, context: int | None = None) -> Tensor:
    """Expected outputs of one row that starts empty."""
    first = [0 if context is None else max(0, end - context) for end in range(1, len(values) + 1)]
    return torch.stack([values[start : end + 1].mean() for end, start in enumerate(first)])


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(1, 5), min_size=1, max_size=12), st.integers(1, 9))
def test_ring_holds_exactly_the_context(passes: list[int], context: int) -> None:
    cache = cache_of(2, context, pass_length=5)
    values = torch.randn(sum(passes))
    out = torch.cat([attend_mean(cache, [1], part[None])[0] for part in values.split(passes)])
    torch.testing.assert_close(out, means(values, context))


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(1, 2 * PAGE_POSITIONS), min_size=1, max_size=5))
def test_pages_hold_the_whole_history(passes: list[int]) -> None:
    cache = cache_of(1)
    values = torch.randn(sum(passes))
    out = torch.cat([attend_mean(cache, [0], part[None])[0] for part in values.split(passes)])
    torch.testing.assert_close(out, means(values), atol=1e-5, rtol=1e-5)


@settings(max_examples=30, deadline=None)
@given(st.sets(st.integers(0, 2 * PAGE_SLOTS + 3), min_size=1, max_size=8), st.randoms(use_true_random=False))
def test_rows_at_different_positions_see_only_their_own_history(slots: set[int], rng: object) -> None:
    cache = cache_of(2 * PAGE_SLOTS + 4)
    order = list(slots)
    rng.shuffle(order)  # type: ignore[attr-defined]
    whole = [torch.randn(slot % 7 + 3) for slot in order]
    for slot, values in zip(order, whole, strict=True):
        attend_mean(cache, [slot], values[None, :-2])
    out = attend_mean(cache, order, torch.stack([values[-2:] for values in whole]))
    for row, values in zip(out, whole, strict=True):
        torch.testing.assert_close(row, means(values)[-2:])


def test_rows_start_behind_shared_own_or_no_prefixes() -> None:
    cache = cache_of(4)
    short, long = (Prefix(torch.zeros(1, 1, n, 2), torch.full((1, 1, n, 2), float(n))) for n in (2, 5))
    for slot, prefix in enumerate([long, short, None, long]):
        cache.reset(slot, prefix)
    out = attend_mean(cache, [0, 1, 2, 3], torch.tensor([[1.0, 2.0]] * 4))
    for row, positions in enumerate([5, 2, 0, 5]):
        past = torch.tensor([float(positions)] * positions + [1.0, 2.0])
        torch.testing.assert_close(out[row], means(past)[-2:])
    assert cache.positions.tolist() == [7, 4, 2, 7]


def test_reset_slot_does_not_see_its_old_content() -> None:
    for context in (None, 6):
        cache = cache_of(1, context)
        attend_mean(cache, [0], torch.full((1, 1), 1e6))
        cache.reset(0)
        torch.testing.assert_close(attend_mean(cache, [0], torch.tensor([[3.0]])), torch.tensor([[3.0]]))


def test_exported_prefix_can_be_shared() -> None:
    cache = cache_of(2)
    cache.reset(0, Prefix(torch.zeros(1, 1, 3, 2), torch.full((1, 1, 3, 2), 7.0)))
    attend_mean(cache, [0], torch.tensor([[1.0, 2.0]]))
    cache.reset(1, cache.export_prefix(0))
    assert cache.positions[1] == 5
    after = attend_mean(cache, [0, 1], torch.tensor([[4.0], [4.0]]))
    torch.testing.assert_close(after, torch.full((2, 1), (21 + 3 + 4) / 6))


def test_unused_slots_take_no_memory() -> None:
    """All of it would be 10 GB."""
    cache = KVCache(CacheShape(8, 16, 64, 10000.0, torch.float32, CPU), 10_000)
    cache.attention_metadata(torch.tensor([9_999]), 1).attend(0, torch.zeros(1, 48, 64), 16)

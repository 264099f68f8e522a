"""engine/cache/static_cache.py: what `cache.KeyValueCache` hears, heard from places that never move."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from sayline_tts.engine.cache.kv_cache import CacheShape, KVCache
from sayline_tts.engine.cache.static_cache import StaticRings

CPU = torch.device("cpu")


def shape_of(kv_heads: int = 1) -> CacheShape:
    return CacheShape(1, kv_heads, 2, 10000.0, torch.float32, CPU)


def ordinary(slots: int, context: int | None, pass_length: int, kv_heads: int = 1) -> KVCache:
    return KVCache(shape_of(kv_heads), slots, context, pass_length)


def some(rows: int, length: int, heads: int, kv_heads: int, seed: int) -> Tensor:
    """What is made of new positions: queries, keys, values."""
    return torch.randn(rows, length, heads + 2 * kv_heads, 2, generator=torch.Generator().manual_seed(seed))


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(st.sets(st.integers(0, 3), min_size=1), st.integers(1, 4)), max_size=15), st.integers(1, 20))
def test_rings_hear_what_the_ordinary_cache_hears_in_any_order_of_passes(
    passes: list[tuple[set[int], int]], context: int
) -> None:
    """Each pass in some slots, filled up with a row that nobody wants; now and then a slot begins anew."""
    rings, plain = StaticRings(shape_of(), 4, context, 4), ordinary(4, context, 4)
    for number, (chosen, length) in enumerate(passes):
        slots = torch.tensor([*chosen, rings.scratch_slot])
        if number % 5 == 4:
            rings.reset(slots.tolist()[0])
            plain.reset(slots.tolist()[0])
        given = some(len(slots), length, 1, 1, number)
        attention_metadata, expected = (
            rings.attention_metadata(slots, length),
            plain.attention_metadata(slots[:-1], length),
        )
        turned = torch.view_as_real(attention_metadata.rope_factors[:-1]).flatten(2).flatten(0, 1)
        torch.testing.assert_close(turned, torch.from_numpy(expected.rope_factors))
        heard = attention_metadata.attend(0, given, 1)
        torch.testing.assert_close(heard[:-1], expected.attend(0, given[:-1].clone(), 1))
        assert heard.isfinite().all()
        rings.advance(slots, length)
        plain.advance(slots[:-1], length)
        assert rings.positions.tolist() == [*plain.positions.tolist(), 0]


@pytest.mark.parametrize("length", [1, 3])
def test_queries_that_share_keys_each_hear_their_own(length: int) -> None:
    rings, plain = StaticRings(shape_of(2), 2, 9, 3), ordinary(2, 9, 3, kv_heads=2)
    for number in range(5):
        slots = torch.tensor([1, 0])
        given = some(2, length, 6, 2, number)
        expected = plain.attention_metadata(slots, length).attend(0, given.clone(), 6)
        torch.testing.assert_close(rings.attention_metadata(slots, length).attend(0, given, 6), expected)
        rings.advance(slots, length)
        plain.advance(slots, length)

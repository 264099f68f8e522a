"""The static cache against the CPU cache."""

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


def cpu_cache(slots: int, context: int | None, pass_length: int, kv_heads: int = 1) -> KVCache:
    return KVCache(shape_of(kv_heads), slots, context, pass_length)


def some(rows: int, length: int, heads: int, kv_heads: int, seed: int) -> Tensor:
    """Queries, keys and values of new positions."""
    return torch.randn(rows, length, heads + 2 * kv_heads, 2, generator=torch.Generator().manual_seed(seed))


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(st.sets(st.integers(0, 3), min_size=1), st.integers(1, 4)), max_size=15), st.integers(1, 20))
def test_static_rings_equal_the_cpu_cache_in_any_order_of_passes(
    passes: list[tuple[set[int], int]], context: int
) -> None:
    """Each pass runs some slots and a padding row; now and then a slot is reset."""
    rings, cpu = StaticRings(shape_of(), 4, context, 4), cpu_cache(4, context, 4)
    for number, (chosen, length) in enumerate(passes):
        slots = torch.tensor([*chosen, rings.scratch_slot])
        if number % 5 == 4:
            rings.reset(slots.tolist()[0])
            cpu.reset(slots.tolist()[0])
        qkv = some(len(slots), length, 1, 1, number)
        attention_metadata, expected = (
            rings.attention_metadata(slots, length),
            cpu.attention_metadata(slots[:-1], length),
        )
        cos_sin = torch.view_as_real(attention_metadata.rope_factors[:-1]).flatten(2).flatten(0, 1)
        torch.testing.assert_close(cos_sin, torch.from_numpy(expected.batch.cos_sin))
        out = attention_metadata.attend(0, qkv, 1)
        torch.testing.assert_close(out[:-1], expected.attend(0, qkv[:-1].clone(), 1))
        assert out.isfinite().all()
        rings.advance(slots, length)
        cpu.advance(slots[:-1], length)
        assert rings.positions.tolist() == [*cpu.positions.tolist(), 0]


@pytest.mark.parametrize("length", [1, 3])
def test_grouped_queries_equal_the_cpu_cache(length: int) -> None:
    rings, cpu = StaticRings(shape_of(2), 2, 9, 3), cpu_cache(2, 9, 3, kv_heads=2)
    for number in range(5):
        slots = torch.tensor([1, 0])
        qkv = some(2, length, 6, 2, number)
        expected = cpu.attention_metadata(slots, length).attend(0, qkv.clone(), 6)
        torch.testing.assert_close(rings.attention_metadata(slots, length).attend(0, qkv, 6), expected)
        rings.advance(slots, length)
        cpu.advance(slots, length)

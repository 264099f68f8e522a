"""Passes over rows of any lengths, in pages and rings, against each row's whole history in NumPy."""

from dataclasses import dataclass, field, replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from sayline_tts.engine.cache.kv_cache import PAGE_POSITIONS, PAGE_SLOTS, CacheShape, KVCache, Prefix
from sayline_tts.engine.cache.rope import apply_rope, rope_factors, rope_frequencies
from sayline_tts.engine.kernels import reference
from sayline_tts.engine.kernels.attention import AttentionMetadata
from sayline_tts.engine.kernels.attention_capture import AttentionCapture
from sayline_tts.engine.kernels.ir_builder import LANES
from sayline_tts.engine.kernels.paged_attention import TILE_POSITIONS

LAYERS, PERIOD, CPU = 2, 10000.0, torch.device("cpu")
SHAPES = [(2, 2, 16), (6, 2, 8), (10, 2, 2), (3, 3, 20)]  # heads, kv_heads, head_dim


def some(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def prefix_of(positions: int, kv_heads: int, dim: int, dtype: torch.dtype) -> Prefix:
    return Prefix(*some(2, LAYERS, kv_heads, positions, dim, seed=positions).to(dtype).unbind())


@dataclass
class History:
    """Everything that one row has stored, `[layers, kv_heads, positions, head_dim]`."""

    heads: int
    context: int | None
    dtype: torch.dtype
    keys: Tensor
    values: Tensor
    prefix_length: int = field(init=False)

    def __post_init__(self) -> None:
        self.prefix_length = self.positions

    @property
    def positions(self) -> int:
        return self.keys.shape[2]

    def attend(self, qkv: Tensor) -> Tensor:
        """`[layers, length, heads + 2 * kv_heads, head_dim]` to `[layers, length, heads, head_dim]`."""
        length, kv_heads = qkv.shape[1], self.keys.shape[1]
        at = np.arange(self.positions, self.positions + length)
        rotated = np.stack([reference.rope(x, at, PERIOD) for x in qkv[:, :, :-kv_heads].numpy()])
        queries, keys = torch.from_numpy(rotated).float().transpose(1, 2).split([self.heads, kv_heads], dim=1)
        self.keys = torch.cat([self.keys, keys.to(self.dtype)], dim=2)
        self.values = torch.cat([self.values, qkv[:, :, -kv_heads:].transpose(1, 2).to(self.dtype)], dim=2)
        group = self.heads // kv_heads
        out = [
            [self._attend_head(queries[layer, head], layer, head // group) for head in range(self.heads)]
            for layer in range(LAYERS)
        ]
        return torch.from_numpy(np.array(out)).transpose(1, 2).float()

    def _attend_head(self, queries: Tensor, layer: int, kv_head: int) -> np.ndarray:
        cache = reference.Cache(
            [self.keys[layer, kv_head].float().numpy()], [self.values[layer, kv_head].float().numpy()]
        )
        if len(queries) == 1 and self.context is None:
            return reference.decode_attention(queries[0].numpy(), cache)[None]
        return reference.prefill_attention(queries.numpy(), cache, self.context)


def attended(metadata: AttentionMetadata, qkv: Tensor, heads: int) -> Tensor:
    """All layers of `[layers, positions, heads + 2 * kv_heads, head_dim]`."""
    return torch.stack([metadata.attend(layer, of_layer.clone(), heads) for layer, of_layer in enumerate(qkv)])


@settings(max_examples=60, deadline=None)
@given(
    shape=st.sampled_from(SHAPES),
    dtype=st.sampled_from([torch.float32, torch.bfloat16]),
    context=st.sampled_from([None, 1, 7, 40]),
    prefixes=st.lists(st.sampled_from([0, 1, 9, TILE_POSITIONS + 3]), min_size=2, max_size=2),
    passes=st.lists(
        st.dictionaries(
            st.sampled_from([0, 3, PAGE_SLOTS]),
            st.one_of(st.just(1), st.integers(1, LANES + 3), st.just(PAGE_POSITIONS + 1)),
            min_size=1,
        ),
        min_size=1,
        max_size=6,
    ),
)
def test_rows_of_any_lengths_attend_to_their_own_history(
    shape: tuple[int, int, int], dtype: torch.dtype, context: int | None, prefixes: list[int],
    passes: list[dict[int, int]],
) -> None:  # fmt: skip
    heads, kv_heads, dim = shape
    cache = KVCache(CacheShape(LAYERS, kv_heads, dim, PERIOD, dtype, CPU), PAGE_SLOTS + 1, context, PAGE_POSITIONS + 1)
    starts = dict.fromkeys((0, 3, PAGE_SLOTS), 0) | (
        dict(zip((0, 3), prefixes, strict=True)) if context is None else {}
    )
    histories = {}
    for slot, positions in starts.items():
        prefix = prefix_of(positions, kv_heads, dim, dtype)
        histories[slot] = History(heads, context, dtype, prefix.keys, prefix.values)
        if positions:
            cache.reset(slot, prefix)
    for number, lengths in enumerate(passes):
        slots, new = torch.tensor(list(lengths)), torch.tensor(list(lengths.values()))
        qkv = some(LAYERS, int(new.sum()), heads + 2 * kv_heads, dim, seed=number)
        out = attended(cache.attention_metadata(slots, new), qkv, heads)
        cache.advance(slots, new)
        rows = zip(lengths, qkv.split(new.tolist(), 1), out.split(new.tolist(), 1), strict=True)
        tolerance = 8e-3 if dtype is torch.bfloat16 else 1e-3 if dim == 2 else 1e-4  # bfloat16 rounds rotated keys
        for slot, qkv_of_row, out_of_row in rows:
            torch.testing.assert_close(out_of_row, histories[slot].attend(qkv_of_row), atol=tolerance, rtol=1e-3)
            assert cache.positions[slot] == histories[slot].positions
    for slot in {slot for lengths in passes for slot in lengths} if context is None else ():
        held, history = cache.export_prefix(slot), histories[slot]
        torch.testing.assert_close(held.values, history.values, atol=0, rtol=0)
        torch.testing.assert_close(held.keys, history.keys, atol=1e-5, rtol=1e-5 if dtype == torch.float32 else 2**-7)


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 12), st.integers(0, 40), st.integers(0, 12))
def test_a_ring_is_two_blocks(size: int, position: int, visible: int) -> None:
    """As `reference.ring_blocks` has it: the older part, then the part that wrapped around."""
    visible = min(visible, size, position)
    ring = np.zeros((size, 1))
    for p in range(position):
        ring[p % size] = p
    blocks = reference.ring_blocks(ring, position, visible)
    assert np.concatenate(blocks)[:, 0].tolist() == list(range(position - visible, position))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_batched_row_equals_the_row_alone_to_the_last_bit(dtype: torch.dtype) -> None:
    """Prefill rows and decode rows in one pass."""
    lengths, past, shape = [1, 20, 1], [70, 0, 5], CacheShape(LAYERS, 2, 16, PERIOD, dtype, CPU)
    together, alone = KVCache(shape, 3), KVCache(shape, 3)
    for cache in (together, alone):
        for slot, length in enumerate(past):
            cache.reset(slot, prefix_of(4, 2, 16, dtype))
            if length:
                metadata = cache.attention_metadata(torch.tensor([slot]), length)
                attended(metadata, some(LAYERS, length, 10, 16, seed=slot), 6)
                cache.advance(torch.tensor([slot]), length)
    qkv = some(LAYERS, sum(lengths), 10, 16, seed=9)
    metadata = together.attention_metadata(torch.arange(3), torch.tensor(lengths))
    out = attended(metadata, qkv, 6).split(lengths, 1)
    for slot, qkv_of_row in enumerate(qkv.split(lengths, 1)):
        expected = attended(alone.attention_metadata(torch.tensor([slot]), lengths[slot]), qkv_of_row, 6)
        torch.testing.assert_close(expected, out[slot], atol=0, rtol=0)


@pytest.mark.parametrize("length", [1, 2])
def test_huge_scores_do_not_overflow(length: int) -> None:
    """A query equal to its own key returns its own value."""
    cache = KVCache(CacheShape(1, 1, 4, PERIOD, torch.float32, CPU), 1)
    qkv = some(length, 3, 4)
    qkv[:, 1] = qkv[:, 0] = torch.eye(4)[:length] * 1e4
    out = cache.attention_metadata(torch.tensor([0]), length).attend(0, qkv.clone(), 1)
    torch.testing.assert_close(out[-1, 0], qkv[-1, 2])


@pytest.mark.parametrize("lengths", [[1, 1, 1], [5, 1, 20]])
@pytest.mark.parametrize("prefix", [0, 6])
@pytest.mark.parametrize("heads", [2, 4])
def test_capture_records_scores_of_last_queries_for_the_first_positions_behind_the_prefix(
    heads: int, prefix: int, lengths: list[int]
) -> None:
    cache, slots = KVCache(CacheShape(1, 2, 8, PERIOD, torch.float32, CPU), 3), torch.arange(3)
    frequencies, width = rope_frequencies(8, PERIOD), 5
    for slot in range(3):
        cache.reset(slot, prefix_of(prefix, 2, 8, torch.float32) if prefix else None)
    past = some(3 * width, heads + 4, 8)
    cache.attention_metadata(slots, width).attend(0, past.clone(), heads)
    cache.advance(slots, width)
    new = some(sum(lengths), heads + 4, 8, seed=1)
    capture = AttentionCapture({0: (heads - 1, 0), 1: (0,)}, [2, 0], width)
    metadata = cache.attention_metadata(slots, torch.tensor(lengths))
    replace(metadata, capture=capture).attend(0, new.clone(), heads)
    assert len(capture.scores) == 2
    for head, scores in zip((heads - 1, 0), capture.scores, strict=True):
        for row, scores_of_row in zip((2, 0), scores, strict=True):
            keys = past[row * width : (row + 1) * width, heads + head * 2 // heads][:, None]
            keys = apply_rope(keys, rope_factors(prefix + torch.arange(width), frequencies))[:, 0]
            at = torch.tensor([prefix + width + lengths[row] - 1])
            query = new[sum(lengths[: row + 1]) - 1, head][None, None]
            query = apply_rope(query, rope_factors(at, frequencies))[0, 0]
            torch.testing.assert_close(scores_of_row, keys @ query)

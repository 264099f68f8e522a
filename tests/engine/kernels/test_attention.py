"""engine/kernels/attention.py: a pass over rows of any lengths hears what plain products over each row's whole past say."""

from dataclasses import dataclass, field, replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from sayline_tts.engine.cache.kv_cache import PAGE_POSITIONS, PAGE_SLOTS, CacheShape, KVCache, Prefix
from sayline_tts.engine.cache.rope import apply_rope, rope_factors, rope_frequencies
from sayline_tts.engine.kernels.attention import TILE_POSITIONS, AttentionMetadata
from sayline_tts.engine.kernels.attention_capture import AttentionCapture
from sayline_tts.engine.kernels.simd import LANES

LAYERS, PERIOD, CPU = 2, 10000.0, torch.device("cpu")
SHAPES = [(2, 2, 16), (6, 2, 8), (10, 2, 2), (3, 3, 20)]  # heads, kv_heads, head_dim


def some(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def prefix_of(positions: int, kv_heads: int, dim: int, dtype: torch.dtype) -> Prefix:
    return Prefix(*some(2, LAYERS, kv_heads, positions, dim, seed=positions).to(dtype).unbind())


@dataclass
class Plainly:
    """One row, written out: all that it ever said, and what its newest positions hear."""

    heads: int
    kv_heads: int
    context: int | None
    dtype: torch.dtype
    prefix: Prefix | None = None
    said: list[Tensor] = field(default_factory=list)  # [layers, positions, heads, head_dim], turned

    @property
    def positions(self) -> int:
        return (self.prefix.positions if self.prefix else 0) + sum(each.shape[1] for each in self.said)

    def say(self, projected: Tensor) -> Tensor:
        """`[layers, length, heads + 2 * kv_heads, head_dim]`; returns `[layers, length, heads, head_dim]`."""
        length, turning = projected.shape[1], self.heads + self.kv_heads
        at = torch.arange(self.positions, self.positions + length)
        by = rope_factors(at, rope_frequencies(projected.shape[-1], PERIOD))
        self.said.append(torch.cat([apply_rope(projected[:, :, :turning], by), projected[:, :, turning:]], dim=2))
        keys, values = self._past("keys", self.heads, turning), self._past("values", turning, None)
        scores = self.said[-1][:, :, : self.heads].transpose(1, 2) @ keys.mT  # [layers, heads, length, positions]
        age = at[:, None] - torch.arange(self.positions)
        seen = (age >= 0) & (age < (self.context or self.positions))
        return (scores.masked_fill(~seen, -torch.inf).softmax(-1) @ values).transpose(1, 2)

    def _past(self, part: str, first: int, end: int | None) -> Tensor:
        """`[layers, heads, positions, head_dim]`, as it is stored."""
        own = torch.cat(self.said, dim=1)[:, :, first:end].to(self.dtype).float().transpose(1, 2)
        before = [getattr(self.prefix, part).float()] if self.prefix else []
        return torch.cat([*before, own], dim=2).repeat_interleave(self.heads // self.kv_heads, dim=1)


def attended(attention_metadata: AttentionMetadata, projected: Tensor, heads: int) -> Tensor:
    """All layers of `[layers, positions, heads + 2 * kv_heads, head_dim]`."""
    return torch.stack(
        [attention_metadata.attend(layer, of_layer.clone(), heads) for layer, of_layer in enumerate(projected)]
    )


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
def test_rows_of_any_lengths_hear_their_own_past_alone(
    shape: tuple[int, int, int], dtype: torch.dtype, context: int | None, prefixes: list[int],
    passes: list[dict[int, int]],
) -> None:  # fmt: skip
    heads, kv_heads, dim = shape
    cache = KVCache(CacheShape(LAYERS, kv_heads, dim, PERIOD, dtype, CPU), PAGE_SLOTS + 1, context, PAGE_POSITIONS + 1)
    plain = {slot: Plainly(heads, kv_heads, context, dtype) for slot in (0, 3, PAGE_SLOTS)}
    if context is None:
        for slot, positions in zip((0, 3), prefixes, strict=True):
            if positions:
                plain[slot].prefix = prefix_of(positions, kv_heads, dim, dtype)
                cache.reset(slot, plain[slot].prefix)
    for number, lengths in enumerate(passes):
        slots, new = torch.tensor(list(lengths)), torch.tensor(list(lengths.values()))
        projected = some(LAYERS, int(new.sum()), heads + 2 * kv_heads, dim, seed=number)
        heard = attended(cache.attention_metadata(slots, new), projected, heads)
        cache.advance(slots, new)
        parts = zip(lengths, projected.split(new.tolist(), 1), heard.split(new.tolist(), 1), strict=True)
        off = 4e-3 if dtype is torch.bfloat16 else 1e-3 if dim == 2 else 1e-4  # rounded otherwise
        for slot, said, of_row in parts:
            torch.testing.assert_close(of_row, plain[slot].say(said), atol=off, rtol=1e-3)
            assert cache.positions[slot] == plain[slot].positions
    for slot in {slot for lengths in passes for slot in lengths} if context is None else ():
        held, said = (
            cache.export_prefix(slot),
            torch.cat(plain[slot].said, dim=1)[:, :, heads:].transpose(1, 2).to(dtype),
        )
        keys, values = (part[:, :, -said.shape[2] :] for part in (held.keys, held.values))
        torch.testing.assert_close(values, said[:, kv_heads:], atol=0, rtol=0)
        torch.testing.assert_close(keys, said[:, :kv_heads], atol=1e-5, rtol=1e-5 if dtype == torch.float32 else 2**-7)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_row_hears_the_same_in_any_company_to_the_last_bit(dtype: torch.dtype) -> None:
    """Some go on, some begin."""
    lengths, past, shape = [1, 20, 1], [70, 0, 5], CacheShape(LAYERS, 2, 16, PERIOD, dtype, CPU)
    together, alone = KVCache(shape, 3), KVCache(shape, 3)
    for cache in (together, alone):
        for slot, length in enumerate(past):
            cache.reset(slot, prefix_of(4, 2, 16, dtype))
            if length:
                attended(
                    cache.attention_metadata(torch.tensor([slot]), length), some(LAYERS, length, 10, 16, seed=slot), 6
                )
                cache.advance(torch.tensor([slot]), length)
    projected = some(LAYERS, sum(lengths), 10, 16, seed=9)
    heard = attended(together.attention_metadata(torch.arange(3), torch.tensor(lengths)), projected, 6).split(
        lengths, 1
    )
    for slot, said in enumerate(projected.split(lengths, 1)):
        of_row = attended(alone.attention_metadata(torch.tensor([slot]), lengths[slot]), said, 6)
        torch.testing.assert_close(of_row, heard[slot], atol=0, rtol=0)


@pytest.mark.parametrize("length", [1, 2])
def test_scores_however_large_are_weighed(length: int) -> None:
    """A query that knows its own key hears its own value."""
    cache = KVCache(CacheShape(1, 1, 4, PERIOD, torch.float32, CPU), 1)
    projected = some(length, 3, 4)
    projected[:, 1] = projected[:, 0] = torch.eye(4)[:length] * 1e4
    heard = cache.attention_metadata(torch.tensor([0]), length).attend(0, projected.clone(), 1)
    torch.testing.assert_close(heard[-1, 0], projected[-1, 2])


@pytest.mark.parametrize("lengths", [[1, 1, 1], [5, 1, 20]])
@pytest.mark.parametrize("prefix", [0, 6])
@pytest.mark.parametrize("heads", [2, 4])
def test_a_watch_writes_down_how_last_positions_score_the_first_behind_the_prefix(
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
    replace(cache.attention_metadata(slots, torch.tensor(lengths)), capture=capture).attend(0, new.clone(), heads)
    assert len(capture.scores) == 2
    for head, scores in zip((heads - 1, 0), capture.scores, strict=True):
        for row, of_row in zip((2, 0), scores, strict=True):
            keys = past[row * width : (row + 1) * width, heads + head * 2 // heads][:, None]
            keys = apply_rope(keys, rope_factors(prefix + torch.arange(width), frequencies))[:, 0]
            at = torch.tensor([prefix + width + lengths[row] - 1])
            query = apply_rope(new[sum(lengths[: row + 1]) - 1, head][None, None], rope_factors(at, frequencies))[0, 0]
            torch.testing.assert_close(of_row, keys @ query)

"""Static pages against the CPU cache, while slots grow, shrink and reuse each other's pages."""

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from sayline_tts.engine.cache.kv_cache import KVCache, Prefix
from sayline_tts.engine.cache.static_pages import PAGE_POSITIONS, SLOT_POSITIONS, StaticPages
from tests.engine.cache.test_static_cache import cpu_cache, shape_of, some

SLOTS = 3


def step(pages: StaticPages, cpu: KVCache, chosen: list[int], lengths: list[int], seed: int) -> None:
    """One pass in both caches; rows shorter than the longest are padded at their end."""
    longest, slots, ends = max(lengths), torch.tensor(chosen), torch.tensor(lengths)
    qkv = some(len(chosen), longest, 2, 1, seed)
    columns = pages.reserve(chosen, lengths)
    out = pages.attention_metadata(slots, longest, columns).attend(0, qkv, 2)
    packed = torch.cat([row[:length] for row, length in zip(qkv, lengths, strict=True)])
    expected = cpu.attention_metadata(slots, ends).attend(0, packed, 2).split(lengths)
    pages.advance(slots, ends)
    cpu.advance(slots, ends)
    for row, length in enumerate(lengths):
        torch.testing.assert_close(out[row, :length], expected[row], atol=1e-5, rtol=1e-5)
    assert pages.positions[:-1].tolist() == cpu.positions.tolist()


def prefix(positions: int) -> Prefix:
    generator = torch.Generator().manual_seed(positions)
    keys, values = torch.randn(2, 1, 1, positions, 2, generator=generator)
    return Prefix(keys, values)


VOICES = [prefix(n) for n in (1, 63, 64, 65, 200)]
ROW = st.tuples(st.integers(0, SLOTS - 1), st.integers(1, 150))  # slot, length
PASSES = st.tuples(
    st.lists(ROW, min_size=1, max_size=SLOTS, unique_by=lambda row: row[0]), st.sampled_from([None, *VOICES])
)


@settings(max_examples=60, deadline=None)
@given(st.lists(PASSES, max_size=12))
def test_reused_pages_equal_the_cpu_cache(
    passes: list[tuple[list[tuple[int, int]], Prefix | None]],
) -> None:
    pages, cpu = StaticPages(shape_of(), SLOTS, columns=4), cpu_cache(SLOTS, None, 1)
    for number, (rows, voice) in enumerate(passes):
        if voice is not None or number % 3 == 2:
            pages.reset(rows[0][0], voice)
            cpu.reset(rows[0][0], voice)
        step(pages, cpu, [slot for slot, _ in rows], [length for _, length in rows], number)


def test_slot_can_be_reset_to_the_same_prefix() -> None:
    pages, cpu = StaticPages(shape_of(), SLOTS), cpu_cache(SLOTS, None, 1)
    for number in range(3):
        for cache in (pages, cpu):
            cache.reset(1, VOICES[3])
        step(pages, cpu, [1], [70], number)


def test_freed_pages_are_reused_without_reallocation() -> None:
    pages = StaticPages(shape_of(), SLOTS)
    most = SLOTS * SLOT_POSITIONS
    for slot in (0, 1, 2, 0):
        pages.reset(slot)
        assert pages.reserve([slot], [most]) == most // PAGE_POSITIONS
        pages.reset(slot)
    assert pages.reallocations == 0


def test_memory_grows_for_a_very_long_row() -> None:
    pages, cpu = StaticPages(shape_of(), SLOTS, columns=4), cpu_cache(SLOTS, None, 1)
    for number in range(4):
        step(pages, cpu, [0, 2], [300, 700], number)
    assert pages.reallocations > 0
    assert pages.columns >= 2800 // PAGE_POSITIONS


def test_exported_prefix_equals_that_of_the_cpu_cache() -> None:
    pages, cpu = StaticPages(shape_of(), SLOTS), cpu_cache(SLOTS, None, 1)
    for cache in (pages, cpu):
        cache.reset(0, VOICES[2])
    step(pages, cpu, [0], [3], 0)
    ours, theirs = pages.export_prefix(0), cpu.export_prefix(0)
    torch.testing.assert_close(ours.keys, theirs.keys)
    torch.testing.assert_close(ours.values, theirs.values)

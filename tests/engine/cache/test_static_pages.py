"""engine/cache/static_pages.py: slots grow, shrink and follow each other in the same pages, and hear only their own past."""

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from sayline_tts.engine.cache.kv_cache import KVCache, Prefix
from sayline_tts.engine.cache.static_pages import PAGE_POSITIONS, SLOT_POSITIONS, StaticPages
from tests.engine.cache.test_static_cache import ordinary, shape_of, some

SLOTS = 3


def step(pages: StaticPages, plain: KVCache, chosen: list[int], lengths: list[int], seed: int) -> None:
    """One pass in both; those shorter than the longest are filled up at their end."""
    longest, slots, ends = max(lengths), torch.tensor(chosen), torch.tensor(lengths)
    given = some(len(chosen), longest, 2, 1, seed)
    columns = pages.reserve(chosen, lengths)
    heard = pages.attention_metadata(slots, longest, columns).attend(0, given, 2)
    packed = torch.cat([row[:length] for row, length in zip(given, lengths, strict=True)])
    expected = plain.attention_metadata(slots, ends).attend(0, packed, 2).split(lengths)
    pages.advance(slots, ends)
    plain.advance(slots, ends)
    for row, length in enumerate(lengths):
        torch.testing.assert_close(heard[row, :length], expected[row], atol=1e-5, rtol=1e-5)
    assert pages.positions[:-1].tolist() == plain.positions.tolist()


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
def test_slots_hear_what_they_hear_in_the_ordinary_cache_whoever_had_their_pages_before(
    passes: list[tuple[list[tuple[int, int]], Prefix | None]],
) -> None:
    pages, plain = StaticPages(shape_of(), SLOTS, columns=4), ordinary(SLOTS, None, 1)
    for number, (rows, voice) in enumerate(passes):
        if voice is not None or number % 3 == 2:
            pages.reset(rows[0][0], voice)
            plain.reset(rows[0][0], voice)
        step(pages, plain, [slot for slot, _ in rows], [length for _, length in rows], number)


def test_who_begins_again_behind_the_same_voice_finds_it_there() -> None:
    pages, plain = StaticPages(shape_of(), SLOTS), ordinary(SLOTS, None, 1)
    for number in range(3):
        for cache in (pages, plain):
            cache.reset(1, VOICES[3])
        step(pages, plain, [1], [70], number)


def test_pages_that_a_slot_needs_no_more_go_to_others_and_memory_stays_where_it_is() -> None:
    pages = StaticPages(shape_of(), SLOTS)
    most = SLOTS * SLOT_POSITIONS
    for slot in (0, 1, 2, 0):
        pages.reset(slot)
        assert pages.reserve([slot], [most]) == most // PAGE_POSITIONS
        pages.reset(slot)
    assert pages.reallocations == 0


def test_memory_grows_for_a_row_that_is_longer_than_all_were_thought_to_be() -> None:
    pages, plain = StaticPages(shape_of(), SLOTS, columns=4), ordinary(SLOTS, None, 1)
    for number in range(4):
        step(pages, plain, [0, 2], [300, 700], number)
    assert pages.reallocations > 0
    assert pages.columns >= 2800 // PAGE_POSITIONS


def test_what_a_slot_holds_can_be_the_prefix_of_others() -> None:
    pages, plain = StaticPages(shape_of(), SLOTS), ordinary(SLOTS, None, 1)
    for cache in (pages, plain):
        cache.reset(0, VOICES[2])
    step(pages, plain, [0], [3], 0)
    ours, theirs = pages.export_prefix(0), plain.export_prefix(0)
    torch.testing.assert_close(ours.keys, theirs.keys)
    torch.testing.assert_close(ours.values, theirs.values)

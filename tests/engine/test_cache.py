"""engine/cache.py: a ring holds what an endless memory would, for every row at its own place."""

import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from engine.cache import KeyValueCache, rotary_frequencies, rotation


def heard(cache: KeyValueCache, slot: int, passes: list[int]) -> list[list[int]]:
    """What each position of one slot may look at, by the position that was written there."""
    seen = []
    for length in passes:
        span = cache.span(torch.tensor([slot]), length)
        first = int(cache.positions[slot])
        numbers = torch.arange(first, first + length, dtype=torch.float32).view(1, length, 1, 1).expand(-1, -1, 1, 2)
        keys, _ = span.extend(0, numbers, numbers)
        for query in range(length):
            visible = span.mask[0, 0, query]
            seen.append(sorted(int(number) for number in keys[0, 0, visible, 0]))
        cache.advance(torch.tensor([slot]), length)
    return seen


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(1, 5), min_size=1, max_size=12), st.integers(1, 9))
def test_a_ring_shows_exactly_the_context_behind_each_position(passes: list[int], context: int) -> None:
    cache = KeyValueCache(1, 1, 2, 10000.0, context=context, pass_length=5)
    cache.reserve(2, 0)
    for position, seen in enumerate(heard(cache, 1, passes)):
        assert seen == list(range(max(0, position - context + 1), position + 1))


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(1, 200), min_size=1, max_size=5))
def test_without_a_context_everything_before_is_seen_and_growing_loses_nothing(passes: list[int]) -> None:
    cache = KeyValueCache(1, 1, 2, 10000.0)
    seen: list[list[int]] = []
    for length in passes:
        cache.reserve(1, len(seen) + length)
        seen += heard(cache, 0, [length])
    assert seen == [list(range(position + 1)) for position in range(sum(passes))]


def test_rows_at_different_places_share_a_pass_and_do_not_see_each_other() -> None:
    cache = KeyValueCache(1, 1, 2, 10000.0)
    cache.reserve(3, 10)
    heard(cache, 2, [4])
    rows = torch.tensor([0, 2])
    span = cache.span(rows, 2)
    marks = torch.tensor([[100.0, 101.0], [4.0, 5.0]]).view(2, 2, 1, 1).expand(-1, -1, 1, 2)
    keys, _ = span.extend(0, marks, marks)
    visible = [keys[row, 0, span.mask[row, 0, 1], 0].tolist() for row in range(2)]
    assert visible == [[100.0, 101.0], [0.0, 1.0, 2.0, 3.0, 4.0, 5.0]]


def test_rotation_depends_on_the_distance_alone_even_after_hours() -> None:
    frequencies = rotary_frequencies(64, 10000.0)

    def product(first: int, second: int) -> Tensor:
        turns = rotation(torch.tensor([[first, second]]), frequencies)[0, :, 0]
        return turns[0] * turns[1].conj()

    hours = 200 * 3600 * 10
    torch.testing.assert_close(product(7, 3), product(hours + 7, hours + 3), atol=1e-5, rtol=0)

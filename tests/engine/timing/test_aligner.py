"""engine/timing/aligner.py: whatever a model looks at, every word has one interval, in order, told in time."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sayline_tts.engine.timing.aligner import HOPS, Aligner, Moment

FRAME_MS, SAMPLES = 80.0, 1920
HOP_MS = FRAME_MS / HOPS


def sound(pattern: str) -> np.ndarray:
    """80 ms, a hop for each mark: `#` is sound, `.` silence."""
    return np.repeat([0.1 if mark == "#" else 0.0 for mark in pattern], SAMPLES // HOPS).astype(np.float32)


LOUD, QUIET = sound("#" * HOPS), sound("." * HOPS)


def looks_at(*words: float) -> np.ndarray:
    return np.array(words, np.float32)


def align(aligner: Aligner, frames: list[tuple[np.ndarray, np.ndarray]]) -> list[Moment]:
    moments = [moment for attention, pcm in frames for moment in aligner.step(attention, pcm)]
    return moments + aligner.finish()


def intervals(moments: list[Moment]) -> list[tuple[float, float]]:
    """Of all words."""
    starts, ends = ([moment.at_ms for moment in moments if moment.over is over] for over in (False, True))
    return list(zip(starts, ends, strict=True))


weights = st.floats(0, 1, width=32)


@st.composite
def performances(draw: st.DrawFn) -> tuple[int, list[int], list[tuple[np.ndarray, np.ndarray]]]:
    words = draw(st.integers(1, 6))
    owners = sorted(draw(st.lists(st.integers(0, words - 1), min_size=1, max_size=10)))
    attention = st.lists(weights, min_size=len(owners), max_size=len(owners)).map(lambda each: looks_at(*each))
    pcm = st.text("#.", min_size=HOPS, max_size=HOPS).map(sound)
    return words, owners, draw(st.lists(st.tuples(attention, pcm), max_size=20))


@given(performances(), st.floats(-200, 200), st.sampled_from([0.0, 1234.5]))
@settings(max_examples=300, deadline=None)
def test_whatever_is_looked_at_and_heard_every_word_has_one_interval_in_order_and_in_time(
    performance: tuple[int, list[int], list[tuple[np.ndarray, np.ndarray]]], lead_ms: float, start_ms: float
) -> None:
    words, owners, frames = performance
    aligner = Aligner(words, owners, start_ms, FRAME_MS, lead_ms)
    told: list[Moment] = []
    for number, frame in enumerate(frames):
        now = aligner.step(*frame)
        from_ms = start_ms + number * FRAME_MS
        assert all(type(moment.at_ms) is float for moment in now), "the wire takes nothing of numpy"
        assert all(from_ms - 1e-6 <= moment.at_ms <= from_ms + FRAME_MS + 1e-6 for moment in now)
        told += now
    rest = aligner.finish()
    assert all(moment.at_ms == start_ms + len(frames) * FRAME_MS for moment in rest)
    told += rest
    wanted = [(index, over) for index in range(words) for over in (False, True)]
    assert [(moment.index, moment.over) for moment in told] == wanted
    assert all(a.at_ms <= b.at_ms + 1e-6 for a, b in pairwise(told))
    assert aligner.finish() == []


def test_a_word_is_over_where_the_next_outweighs_it() -> None:
    frames = [(looks_at(1, 0), LOUD), (looks_at(0.75, 0.25), LOUD), (looks_at(0, 1), LOUD), (looks_at(0, 1), LOUD)]
    # Between the middles of the second frame (ahead by 0.5) and the third (behind by 1): a third of the way, which
    # lies in the second; that has gone.
    assert intervals(align(Aligner(2, [0, 1], 0, FRAME_MS, 0), frames)) == [(0, 160), (160, 320)]
    (_, (second_ms, _)) = intervals(align(Aligner(2, [0, 1], 0, FRAME_MS, 40), frames))
    assert second_ms == pytest.approx(160 - 40 + 80 / 3 + 40)


def test_a_word_begins_with_its_first_sound_and_the_pause_before_belongs_to_none() -> None:
    frames = [
        (looks_at(1, 0), sound("..######")),
        (looks_at(0, 1), sound("##......")),
        (looks_at(0, 1), QUIET),
        (looks_at(0, 1), sound("...#####")),
        (looks_at(0, 1), sound("####....")),
        (looks_at(0, 1), QUIET),
    ]
    assert intervals(align(Aligner(2, [0, 1], 0, FRAME_MS, 20), frames)) == [(20, 100), (270, 400)]


def test_a_click_is_no_word() -> None:
    frames = [
        (looks_at(1), sound("#...####")),
        (looks_at(1), LOUD),
        (looks_at(1), sound("...#....")),
    ]
    assert intervals(align(Aligner(1, [0], 0, FRAME_MS, 0), frames)) == [(40, 160)]


def test_a_sound_that_the_frame_only_begins_is_heard() -> None:
    frames = [(looks_at(1), sound(".......#")), (looks_at(1), LOUD)]
    assert intervals(align(Aligner(1, [0], 0, FRAME_MS, 0), frames)) == [(70, 160)]


def test_tokens_add_up_to_words() -> None:
    frames = [(looks_at(0.3, 0.3, 0.4), LOUD), (looks_at(0.2, 0.2, 0.6), LOUD)]
    assert intervals(align(Aligner(2, [0, 0, 1], 0, FRAME_MS, 0), frames)) == [(0, 80), (80, 160)]


def test_a_word_that_is_left_out_derails_nobody() -> None:
    frames = [(looks_at(1, 0, 0), LOUD), (looks_at(0, 0, 1), LOUD), (looks_at(0, 0, 1), LOUD)]
    found = intervals(align(Aligner(3, [0, 1, 2], 0, FRAME_MS, 0), frames))
    assert found == [(0, 80), (80, 80), (80, 240)]


def test_who_still_looks_at_a_word_leaves_none_out() -> None:
    frames = [(looks_at(1, 0, 0), LOUD), (looks_at(0.3, 0.1, 0.6), LOUD), (looks_at(0.1, 0.6, 0.3), LOUD)]
    assert [start for start, _ in intervals(align(Aligner(3, [0, 1, 2], 0, FRAME_MS, 0), frames))][:2] == [0, 160]


def test_a_word_that_is_said_twice_keeps_its_first_place() -> None:
    frames = [(looks_at(*weights), LOUD) for weights in ([1, 0], [0, 1], [1, 0], [0, 1])]
    assert intervals(align(Aligner(2, [0, 1], 0, FRAME_MS, 0), frames)) == [(0, 80), (80, 320)]


def test_a_word_without_tokens_begins_with_the_next() -> None:
    frames = [(looks_at(1, 0), LOUD), (looks_at(0, 1), LOUD)]
    assert intervals(align(Aligner(3, [0, 2], 0, FRAME_MS, 0), frames)) == [(0, 80), (80, 80), (80, 160)]

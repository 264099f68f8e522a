"""Every word gets one interval, in order and without delay, whatever the attention and the audio are."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sayline_tts.engine.timing.aligner import HOPS, Aligner, WordBoundary

FRAME_MS, SAMPLES = 80.0, 1920
HOP_MS = FRAME_MS / HOPS


def sound(pattern: str) -> np.ndarray:
    """80 ms of PCM, a hop for each mark: `#` is sound, `.` silence."""
    return np.repeat([0.1 if mark == "#" else 0.0 for mark in pattern], SAMPLES // HOPS).astype(np.float32)


LOUD, QUIET = sound("#" * HOPS), sound("." * HOPS)


def attention_on(*words: float) -> np.ndarray:
    return np.array(words, np.float32)


def align(aligner: Aligner, frames: list[tuple[np.ndarray, np.ndarray]]) -> list[WordBoundary]:
    boundaries = [boundary for attention, pcm in frames for boundary in aligner.step(attention, pcm)]
    return boundaries + aligner.finish()


def intervals(boundaries: list[WordBoundary]) -> list[tuple[float, float]]:
    """Begin and end of each word."""
    starts, ends = ([each.at_ms for each in boundaries if each.is_end is is_end] for is_end in (False, True))
    return list(zip(starts, ends, strict=True))


weights = st.floats(0, 1, width=32)


@st.composite
def segments(draw: st.DrawFn) -> tuple[int, list[int], list[tuple[np.ndarray, np.ndarray]]]:
    words = draw(st.integers(1, 6))
    word_ids = sorted(draw(st.lists(st.integers(0, words - 1), min_size=1, max_size=10)))
    attention = st.lists(weights, min_size=len(word_ids), max_size=len(word_ids)).map(lambda each: attention_on(*each))
    pcm = st.text("#.", min_size=HOPS, max_size=HOPS).map(sound)
    return words, word_ids, draw(st.lists(st.tuples(attention, pcm), max_size=20))


@given(segments(), st.floats(-200, 200), st.sampled_from([0.0, 1234.5]))
@settings(max_examples=300, deadline=None)
def test_every_word_has_one_interval_in_order_and_without_delay(
    segment: tuple[int, list[int], list[tuple[np.ndarray, np.ndarray]]], lead_ms: float, start_ms: float
) -> None:
    words, word_ids, frames = segment
    aligner = Aligner(words, word_ids, start_ms, FRAME_MS, lead_ms)
    reported: list[WordBoundary] = []
    for number, frame in enumerate(frames):
        now = aligner.step(*frame)
        from_ms = start_ms + number * FRAME_MS
        assert all(type(each.at_ms) is float for each in now), "NumPy scalars cannot be serialized"
        assert all(from_ms - 1e-6 <= each.at_ms <= from_ms + FRAME_MS + 1e-6 for each in now)
        reported += now
    rest = aligner.finish()
    assert all(each.at_ms == start_ms + len(frames) * FRAME_MS for each in rest)
    reported += rest
    expected = [(index, is_end) for index in range(words) for is_end in (False, True)]
    assert [(each.index, each.is_end) for each in reported] == expected
    assert all(a.at_ms <= b.at_ms + 1e-6 for a, b in pairwise(reported))
    assert aligner.finish() == []


def test_word_ends_where_the_next_outweighs_it() -> None:
    frames = [
        (attention_on(1, 0), LOUD),
        (attention_on(0.75, 0.25), LOUD),
        (attention_on(0, 1), LOUD),
        (attention_on(0, 1), LOUD),
    ]
    # Between the middles of the second frame (ahead by 0.5) and the third (behind by 1): a third of the way, which
    # lies in the second, which is over by then.
    assert intervals(align(Aligner(2, [0, 1], 0, FRAME_MS, 0), frames)) == [(0, 160), (160, 320)]
    (_, (second_ms, _)) = intervals(align(Aligner(2, [0, 1], 0, FRAME_MS, 40), frames))
    assert second_ms == pytest.approx(160 - 40 + 80 / 3 + 40)


def test_word_begins_with_its_first_sound_and_the_silence_before_belongs_to_no_word() -> None:
    frames = [
        (attention_on(1, 0), sound("..######")),
        (attention_on(0, 1), sound("##......")),
        (attention_on(0, 1), QUIET),
        (attention_on(0, 1), sound("...#####")),
        (attention_on(0, 1), sound("####....")),
        (attention_on(0, 1), QUIET),
    ]
    assert intervals(align(Aligner(2, [0, 1], 0, FRAME_MS, 20), frames)) == [(20, 100), (270, 400)]


def test_single_loud_hop_does_not_begin_a_word() -> None:
    frames = [
        (attention_on(1), sound("#...####")),
        (attention_on(1), LOUD),
        (attention_on(1), sound("...#....")),
    ]
    assert intervals(align(Aligner(1, [0], 0, FRAME_MS, 0), frames)) == [(40, 160)]


def test_sound_in_the_last_hop_of_a_frame_begins_a_word() -> None:
    frames = [(attention_on(1), sound(".......#")), (attention_on(1), LOUD)]
    assert intervals(align(Aligner(1, [0], 0, FRAME_MS, 0), frames)) == [(70, 160)]


def test_attention_of_tokens_is_summed_by_word() -> None:
    frames = [(attention_on(0.3, 0.3, 0.4), LOUD), (attention_on(0.2, 0.2, 0.6), LOUD)]
    assert intervals(align(Aligner(2, [0, 0, 1], 0, FRAME_MS, 0), frames)) == [(0, 80), (80, 160)]


def test_skipped_word_has_no_length() -> None:
    frames = [(attention_on(1, 0, 0), LOUD), (attention_on(0, 0, 1), LOUD), (attention_on(0, 0, 1), LOUD)]
    found = intervals(align(Aligner(3, [0, 1, 2], 0, FRAME_MS, 0), frames))
    assert found == [(0, 80), (80, 80), (80, 240)]


def test_no_word_is_skipped_while_the_last_is_attended_to() -> None:
    frames = [(attention_on(1, 0, 0), LOUD), (attention_on(0.3, 0.1, 0.6), LOUD), (attention_on(0.1, 0.6, 0.3), LOUD)]
    assert [start for start, _ in intervals(align(Aligner(3, [0, 1, 2], 0, FRAME_MS, 0), frames))][:2] == [0, 160]


def test_repeated_word_keeps_its_first_place() -> None:
    frames = [(attention_on(*weights), LOUD) for weights in ([1, 0], [0, 1], [1, 0], [0, 1])]
    assert intervals(align(Aligner(2, [0, 1], 0, FRAME_MS, 0), frames)) == [(0, 80), (80, 320)]


def test_word_without_tokens_begins_with_the_next() -> None:
    frames = [(attention_on(1, 0), LOUD), (attention_on(0, 1), LOUD)]
    assert intervals(align(Aligner(3, [0, 2], 0, FRAME_MS, 0), frames)) == [(0, 80), (80, 80), (80, 160)]

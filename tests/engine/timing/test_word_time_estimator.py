"""engine/timing/word_time_estimator.py: each word once, in order, in its segment, no later than its sound; whatever the voice does."""

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sayline_tts.engine.text.chunk import Word
from sayline_tts.engine.timing.word_time_estimator import Pace, WordClock, WordTime, heard

FRAME_MS = 80.0
FIRST_END = 6  # frames, before which speech does not end


def word(spoken: str) -> Word:
    return Word(spoken, 0, 0, spoken)


def words(text: str) -> list[Word]:
    return [word(each) for each in text.split()]


def ends(frames: int, tail: int, start_ms: float) -> float:
    return start_ms + (frames + tail) * FRAME_MS


spoken_words = st.lists(st.text("aeb.,!? 5漢—)…\"'", max_size=12).map(word), max_size=12)


@given(spoken_words, st.integers(0, 10**6), st.integers(1, 60), st.integers(0, 6), st.floats(0, 6000), st.booleans())
@settings(max_examples=300, deadline=None)
def test_every_word_is_told_once_in_order_in_time_and_inside_its_segment(
    said: list[Word], start: int, frames: int, tail: int, expected_ms: float, speech_end_is_known: bool
) -> None:
    """`frames` until speech is over and `tail` behind that; or nothing is known before the last frame."""
    start_ms = start / 7
    clock, times = WordClock(said, start_ms, expected_ms), list[WordTime]()
    for frame in range(1, frames + 1):
        before_ms, produced_ms = start_ms + (frame - 1) * FRAME_MS, start_ms + frame * FRAME_MS
        if frame < frames:
            least_ms = ends(max(frame, FIRST_END), tail, start_ms) if speech_end_is_known else None
            now = clock.until(produced_ms, min(least_ms, ends(frames, tail, start_ms)) if least_ms else None)
        else:
            now = clock.finish(ends(frames, tail, start_ms) if speech_end_is_known else produced_ms)
        assert all(time.start_ms >= before_ms - 1e-6 for time in now), "its sound has gone already"
        times += now
    assert [time.word for time in times] == said
    assert all(a.end_ms <= b.start_ms + 1e-6 for a, b in pairwise(times))
    assert all(time.start_ms <= time.end_ms for time in times)
    assert all(start_ms <= time.start_ms for time in times)
    assert all(time.end_ms <= ends(frames, tail if speech_end_is_known else 0, start_ms) + 1e-6 for time in times)
    assert all(time.estimated for time in times)
    assert clock.until(10**9) == clock.finish(10**9) == [], "once"


def test_a_word_is_told_with_the_frame_in_which_it_begins() -> None:
    said = words("one two three four")
    clock = WordClock(said, 1000.0, 2000.0)
    told = {}
    for frame in range(1, 21):
        for time in clock.until(1000 + frame * FRAME_MS, 3400):
            told[time.word.text] = frame
            assert 1000 + (frame - 1) * FRAME_MS <= time.start_ms < 1000 + frame * FRAME_MS
    assert list(told) == ["one", "two", "three", "four"]


def test_long_words_last_longer_and_words_before_a_pause_are_drawn_out() -> None:
    clock = WordClock(words("a responsibility is, after all, a thing."), 0.0, 3000.0)
    times = {time.word.text: time.end_ms - time.start_ms for time in clock.finish(3000.0)}
    assert times["responsibility"] > 1.5 * times["thing."] > times["all,"]
    assert times["is,"] > 1.5 * times["a"]


def test_there_is_a_pause_behind_a_mark_and_a_longer_one_behind_a_sentence() -> None:
    clock = WordClock(words('Well, yes." No way'), 0.0, 2000.0)
    times = clock.finish(2000.0)
    gaps = [b.start_ms - a.end_ms for a, b in pairwise(times)]
    assert gaps[1] > gaps[0] > 100
    assert gaps[2] == pytest.approx(0)


def test_digits_and_wide_characters_are_words_of_their_own() -> None:
    pace = Pace()
    assert pace.expected_frames(words("1234")) > 3 * pace.expected_frames(words("abcd"))
    assert pace.expected_frames(words("漢字")) == pace.expected_frames(words("12"))


def test_one_word_of_many_spoken_ones_is_one_event_that_spans_them() -> None:
    clock = WordClock([Word("$5", 3, 5, "five dollars"), Word("now", 6, 9, "now")], 0.0, 1000.0)
    money, now = clock.until(999.0, 1000.0)
    assert (money.word.text, money.word.start, money.word.end) == ("$5", 3, 5)
    assert money.end_ms - money.start_ms > 2 * (now.end_ms - now.start_ms)


def test_no_end_lies_behind_what_is_sure_to_come() -> None:
    clock = WordClock(words("incomprehensibilities"), 0.0, 2000.0)
    (time,) = clock.until(FRAME_MS, 400.0)
    assert (time.start_ms, time.end_ms) == (0.0, 400.0)
    assert clock.finish(400.0) == []


def test_a_voice_that_takes_longer_is_followed_and_one_that_is_done_soon_has_its_rest_at_once() -> None:
    slow = WordClock(said := words("one two three four five six"), 0.0, 1000.0)
    starts = [time.start_ms for frame in range(1, 40) for time in slow.until(frame * FRAME_MS, 9999.0)]
    assert starts == sorted(starts)
    assert starts[-1] > 800, "later than where it would be in 1000 ms"
    quick = WordClock(said, 0.0, 3000.0)
    told = quick.until(FRAME_MS, 400.0)
    rest = quick.finish(400.0)
    assert [time.word for time in told + rest] == said
    assert rest[-1].end_ms == pytest.approx(400)


def test_a_segment_without_words_has_nothing_to_tell() -> None:
    clock = WordClock([], 0.0, 0.0)
    assert clock.until(80.0) == clock.finish(160.0) == []


def test_the_pace_of_a_voice_is_learned() -> None:
    pace, said = Pace(), words("The old man walked slowly, and his dog followed him.")
    for _ in range(20):
        pace.saw(said, 60)
    assert pace.expected_frames(said) == pytest.approx(60, rel=0.01)
    assert pace.expected_frames(said * 2) > 2 * 60


def test_a_word_was_heard_if_half_of_it_was() -> None:
    one, two, three = words("one two three")
    times = [WordTime(one, 0, 100), WordTime(two, 100, 300), WordTime(three, 400, 600)]
    for played_ms, count in ((0, 0), (49, 0), (50, 1), (199, 1), (200, 2), (499, 2), (500, 3), (9999, 3)):
        assert heard(times, played_ms) == count
    assert heard([], 100) == 0


@given(st.lists(st.tuples(st.floats(0, 500), st.floats(0, 500)), max_size=8), st.floats(0, 5000), st.floats(0, 5000))
def test_what_was_heard_only_grows_and_is_all_in_the_end(
    lengths: list[tuple[float, float]], played_ms: float, later_ms: float
) -> None:
    times, at_ms = list[WordTime](), 0.0
    for gap_ms, length_ms in lengths:
        times.append(WordTime(word("x"), at_ms + gap_ms, at_ms + gap_ms + length_ms))
        at_ms = times[-1].end_ms
    assert heard(times, played_ms) <= heard(times, played_ms + later_ms)
    assert heard(times, at_ms) == len(times)
    for number, time in enumerate(times):
        half = played_ms >= (time.start_ms + time.end_ms) / 2
        assert (number < heard(times, played_ms)) == half

"""Each word is reported once, in order, within its segment and no later than its audio."""

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sayline_tts.engine.text.chunk import Word
from sayline_tts.engine.timing.word_time_estimator import SpeakingRate, WordTime, WordTimeEstimator, words_played

FRAME_MS = 80.0
FIRST_END = 6  # frames before which speech does not end


def word(spoken: str) -> Word:
    return Word(spoken, 0, 0, spoken)


def words(text: str) -> list[Word]:
    return [word(each) for each in text.split()]


def ends(frames: int, tail: int, start_ms: float) -> float:
    return start_ms + (frames + tail) * FRAME_MS


spoken_words = st.lists(st.text("aeb.,!? 5漢—)…\"'", max_size=12).map(word), max_size=12)


@given(spoken_words, st.integers(0, 10**6), st.integers(1, 60), st.integers(0, 6), st.floats(0, 6000), st.booleans())
@settings(max_examples=300, deadline=None)
def test_every_word_is_reported_once_in_order_and_within_its_segment(
    spoken: list[Word], start: int, frames: int, tail: int, expected_ms: float, speech_end_is_known: bool
) -> None:
    """`frames` until speech ends and `tail` after that; or the end is unknown before the last frame."""
    start_ms = start / 7
    estimator, times = WordTimeEstimator(spoken, start_ms, expected_ms), list[WordTime]()
    for frame in range(1, frames + 1):
        before_ms, produced_ms = start_ms + (frame - 1) * FRAME_MS, start_ms + frame * FRAME_MS
        if frame < frames:
            earliest_end_ms = ends(max(frame, FIRST_END), tail, start_ms) if speech_end_is_known else None
            now = estimator.until(
                produced_ms, min(earliest_end_ms, ends(frames, tail, start_ms)) if earliest_end_ms else None
            )
        else:
            now = estimator.finish(ends(frames, tail, start_ms) if speech_end_is_known else produced_ms)
        assert all(time.start_ms >= before_ms - 1e-6 for time in now), "its audio has already been sent"
        times += now
    assert [time.word for time in times] == spoken
    assert all(a.end_ms <= b.start_ms + 1e-6 for a, b in pairwise(times))
    assert all(time.start_ms <= time.end_ms for time in times)
    assert all(start_ms <= time.start_ms for time in times)
    assert all(time.end_ms <= ends(frames, tail if speech_end_is_known else 0, start_ms) + 1e-6 for time in times)
    assert all(time.estimated for time in times)
    assert estimator.until(10**9) == estimator.finish(10**9) == [], "each word once"


def test_word_is_reported_with_the_frame_in_which_it_begins() -> None:
    spoken = words("one two three four")
    estimator = WordTimeEstimator(spoken, 1000.0, 2000.0)
    reported = {}
    for frame in range(1, 21):
        for time in estimator.until(1000 + frame * FRAME_MS, 3400):
            reported[time.word.text] = frame
            assert 1000 + (frame - 1) * FRAME_MS <= time.start_ms < 1000 + frame * FRAME_MS
    assert list(reported) == ["one", "two", "three", "four"]


def test_long_words_and_words_before_a_pause_last_longer() -> None:
    estimator = WordTimeEstimator(words("a responsibility is, after all, a thing."), 0.0, 3000.0)
    times = {time.word.text: time.end_ms - time.start_ms for time in estimator.finish(3000.0)}
    assert times["responsibility"] > 1.5 * times["thing."] > times["all,"]
    assert times["is,"] > 1.5 * times["a"]


def test_pause_after_a_sentence_is_longer_than_after_a_clause() -> None:
    estimator = WordTimeEstimator(words('Well, yes." No way'), 0.0, 2000.0)
    times = estimator.finish(2000.0)
    gaps = [b.start_ms - a.end_ms for a, b in pairwise(times)]
    assert gaps[1] > gaps[0] > 100
    assert gaps[2] == pytest.approx(0)


def test_digits_and_wide_characters_take_longer_than_letters() -> None:
    rate = SpeakingRate()
    assert rate.expected_frames(words("1234")) > 3 * rate.expected_frames(words("abcd"))
    assert rate.expected_frames(words("漢字")) == rate.expected_frames(words("12"))


def test_written_word_spans_all_its_spoken_words() -> None:
    estimator = WordTimeEstimator([Word("$5", 3, 5, "five dollars"), Word("now", 6, 9, "now")], 0.0, 1000.0)
    money, now = estimator.until(999.0, 1000.0)
    assert (money.word.text, money.word.start, money.word.end) == ("$5", 3, 5)
    assert money.end_ms - money.start_ms > 2 * (now.end_ms - now.start_ms)


def test_word_ends_no_later_than_the_earliest_end_of_the_segment() -> None:
    estimator = WordTimeEstimator(words("incomprehensibilities"), 0.0, 2000.0)
    (time,) = estimator.until(FRAME_MS, 400.0)
    assert (time.start_ms, time.end_ms) == (0.0, 400.0)
    assert estimator.finish(400.0) == []


def test_estimates_follow_a_slow_voice_and_finish_with_a_fast_one() -> None:
    slow = WordTimeEstimator(spoken := words("one two three four five six"), 0.0, 1000.0)
    starts = [time.start_ms for frame in range(1, 40) for time in slow.until(frame * FRAME_MS, 9999.0)]
    assert starts == sorted(starts)
    assert starts[-1] > 800, "later than where it would be in 1000 ms"
    quick = WordTimeEstimator(spoken, 0.0, 3000.0)
    reported = quick.until(FRAME_MS, 400.0)
    rest = quick.finish(400.0)
    assert [time.word for time in reported + rest] == spoken
    assert rest[-1].end_ms == pytest.approx(400)


def test_segment_without_words_has_no_times() -> None:
    estimator = WordTimeEstimator([], 0.0, 0.0)
    assert estimator.until(80.0) == estimator.finish(160.0) == []


def test_speaking_rate_is_learned() -> None:
    rate, spoken = SpeakingRate(), words("The old man walked slowly, and his dog followed him.")
    for _ in range(20):
        rate.observe(spoken, 60)
    assert rate.expected_frames(spoken) == pytest.approx(60, rel=0.01)
    assert rate.expected_frames(spoken * 2) > 2 * 60


def test_word_counts_as_played_from_half_of_it_on() -> None:
    one, two, three = words("one two three")
    times = [WordTime(one, 0, 100), WordTime(two, 100, 300), WordTime(three, 400, 600)]
    for played_ms, count in ((0, 0), (49, 0), (50, 1), (199, 1), (200, 2), (499, 2), (500, 3), (9999, 3)):
        assert words_played(times, played_ms) == count
    assert words_played([], 100) == 0


@given(st.lists(st.tuples(st.floats(0, 500), st.floats(0, 500)), max_size=8), st.floats(0, 5000), st.floats(0, 5000))
def test_words_played_only_grows_and_reaches_all(
    lengths: list[tuple[float, float]], played_ms: float, later_ms: float
) -> None:
    times, at_ms = list[WordTime](), 0.0
    for gap_ms, length_ms in lengths:
        times.append(WordTime(word("x"), at_ms + gap_ms, at_ms + gap_ms + length_ms))
        at_ms = times[-1].end_ms
    assert words_played(times, played_ms) <= words_played(times, played_ms + later_ms)
    assert words_played(times, at_ms) == len(times)
    for number, time in enumerate(times):
        half = played_ms >= (time.start_ms + time.end_ms) / 2
        assert (number < words_played(times, played_ms)) == half

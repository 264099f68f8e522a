"""Word timestamps of real utterances: within the segment wherever speech ends; speaking rates are learned."""

from itertools import pairwise

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from sayline_tts.engine.models.voice import Voice
from sayline_tts.engine.scheduling.utterance import Status, Utterance
from sayline_tts.engine.segment import Sampling, Segment, Silence
from sayline_tts.engine.text.chunk import Word
from sayline_tts.engine.timing.word_time_estimator import WordTime
from sayline_tts.engine.timing.word_timestamps import WordTimestamps

SAMPLING = Sampling(0.3, None, -4.0, 1, 0)
FRAME_MS = 80.0


def voice() -> Voice:
    return Voice(torch.zeros(1, 1, 1, 2), torch.zeros(1, 1, 1, 2))


def words(text: str) -> tuple[Word, ...]:
    return tuple(Word(each, 0, 0, each) for each in text.split())


def speak(
    timestamps: WordTimestamps, utterance: Utterance, segment: Segment, eos_step: int | None
) -> tuple[list[WordTime], float]:
    """Step through `segment`. Returns its word times, checked against their frames, and when the segment began."""
    times: list[WordTime] = []
    utterance.add(segment)
    progress = utterance.begin_segment()
    start_ms, spoken, step = utterance.produced_ms, None, 0
    while spoken is None:
        before_ms = utterance.produced_ms
        _, spoken = utterance.step(is_eos=step == eos_step)
        now = timestamps.step(utterance, progress)(None)
        assert all(time.start_ms >= before_ms - 1e-6 for time in now)
        times += now
        step += 1
    return times, start_ms


@given(
    st.lists(st.sampled_from(["a", "yes.", "incomprehensibilities,", "12", "dog"]), max_size=9),
    st.integers(1, 40),
    st.integers(0, 6),
    st.none() | st.integers(6, 40),
    st.booleans(),
    st.integers(0, 3),
)
@settings(max_examples=200, deadline=None)
def test_each_word_is_reported_once_and_within_speech(
    said: list[str], max_frames: int, after_eos: int, eos_step: int | None, continues: bool, before: int
) -> None:
    timestamps = WordTimestamps()
    utterance = Utterance(voice(), SAMPLING, continues=continues)
    for _ in range(before):
        utterance.add(Silence(1))
        utterance.step_silence()
    for _ in range(2):
        segment = Segment("", (1,), max_frames, after_eos, words(" ".join(said)))
        times, start_ms = speak(timestamps, utterance, segment, eos_step)
        assert [time.word for time in times] == list(segment.words)
        assert all(a.end_ms <= b.start_ms + 1e-6 for a, b in pairwise(times))
        for time in times:
            assert start_ms <= time.start_ms <= time.end_ms <= utterance.produced_ms + 1e-6
    assert not timestamps._estimators


def test_segment_without_words_gets_no_timestamps() -> None:
    assert speak(WordTimestamps(), Utterance(voice(), SAMPLING), Segment("Yes.", (1,), 20, 3), 9)[0] == []


def test_estimates_improve_with_each_segment_of_a_voice() -> None:
    timestamps, slow, said = WordTimestamps(), voice(), words("one two three four five")
    errors_ms = []
    for _ in range(5):
        times, start_ms = speak(timestamps, Utterance(slow, SAMPLING), Segment("", (1,), 99, 3, said), 40)
        errors_ms.append(abs(times[2].start_ms - start_ms - 8 / 24 * 41 * FRAME_MS))  # by letters
    assert errors_ms[-1] < errors_ms[0] / 3
    other = timestamps._rate(Utterance(voice(), SAMPLING))
    assert other.expected_frames(said) < 20, "each voice has its own rate"


def test_speaking_rate_is_not_learned_from_speech_that_was_cut_off() -> None:
    timestamps, cut, said = WordTimestamps(), voice(), words("one two three")
    before = timestamps._rate(Utterance(cut, SAMPLING)).expected_frames(said)
    speak(timestamps, Utterance(cut, SAMPLING), Segment("", (1,), 99, 3, said), None)
    assert timestamps._rate(Utterance(cut, SAMPLING)).expected_frames(said) == before


def test_speaking_rate_does_not_depend_on_the_playback_speed() -> None:
    timestamps, fast, said = WordTimestamps(), voice(), words("one two three four five")
    speak(timestamps, Utterance(fast, SAMPLING, frame_ms=40.0), Segment("", (1,), 99, 3, said), 40)
    slow = WordTimestamps()
    speak(slow, Utterance(fast, SAMPLING), Segment("", (1,), 99, 3, said), 40)
    rate, same = (each._rate(Utterance(fast, SAMPLING)).expected_frames(said) for each in (timestamps, slow))
    assert rate == pytest.approx(same)


def test_cancelled_utterance_is_discarded() -> None:
    timestamps, cancelled = WordTimestamps(), Utterance(voice(), SAMPLING)
    segment = Segment("", (1,), 99, 3, words("one two three four five six seven"))
    cancelled.add(segment)
    progress = cancelled.begin_segment()
    cancelled.step(is_eos=False)
    assert len(timestamps.step(cancelled, progress)(None)) == 1
    cancelled.move(Status.CANCELLED)
    timestamps.discard(cancelled)
    timestamps.discard(cancelled)
    assert not timestamps._estimators


@pytest.mark.parametrize("after_eos", [0, 3])
def test_earliest_end_only_grows_and_becomes_the_end(after_eos: int) -> None:
    utterance = Utterance(voice(), SAMPLING)
    utterance.add(Segment("", (1,), 30, after_eos))
    utterance.begin_segment()
    seen = [utterance.earliest_end_ms]
    while utterance.segment:
        utterance.step(is_eos=utterance.buffer.produced_frames == 12)
        seen.append(utterance.earliest_end_ms)
    assert seen[0] == (6 + after_eos) * FRAME_MS
    assert seen == sorted(seen)
    assert seen[-1] == utterance.produced_ms
    assert utterance.progress is not None
    assert utterance.progress.speech_ended

"""engine/timing/word_timestamps.py with the real books: whenever speech ends, its words are in it; a voice's pace is learned."""

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
from sayline_tts.engine.timing.word_timestamps import WordTeller

SAMPLING = Sampling(0.3, None, -4.0, 1, 0)
FRAME_MS = 80.0


def voice() -> Voice:
    return Voice(torch.zeros(1, 1, 1, 2), torch.zeros(1, 1, 1, 2))


def words(text: str) -> tuple[Word, ...]:
    return tuple(Word(each, 0, 0, each) for each in text.split())


def speak(
    teller: WordTeller, utterance: Utterance, segment: Segment, eos_step: int | None
) -> tuple[list[WordTime], float]:
    """All times, checked against the frames with which they are told; and when the segment began."""
    times: list[WordTime] = []
    utterance.add(segment)
    utterance.begin_segment()
    start_ms, spoken, step = utterance.produced_ms, None, 0
    while spoken is None:
        before_ms = utterance.produced_ms
        _, spoken = utterance.step(is_eos=step == eos_step)
        now = teller.step(utterance, segment, start_ms)(None)
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
def test_wherever_speech_ends_each_word_is_told_once_and_inside_of_it(
    said: list[str], max_frames: int, after_eos: int, eos_step: int | None, continues: bool, before: int
) -> None:
    teller = WordTeller()
    utterance = Utterance(voice(), SAMPLING, continues=continues)
    for _ in range(before):
        utterance.add(Silence(1))
        utterance.be_silent()
    for _ in range(2):
        segment = Segment("", (1,), max_frames, after_eos, words(" ".join(said)))
        times, start_ms = speak(teller, utterance, segment, eos_step)
        assert [time.word for time in times] == list(segment.words)
        assert all(a.end_ms <= b.start_ms + 1e-6 for a, b in pairwise(times))
        for time in times:
            assert start_ms <= time.start_ms <= time.end_ms <= utterance.produced_ms + 1e-6
    assert not teller._clocks


def test_who_wants_no_words_gets_none() -> None:
    assert speak(WordTeller(), Utterance(voice(), SAMPLING), Segment("Yes.", (1,), 20, 3), 9)[0] == []


def test_the_next_segment_of_a_voice_is_estimated_better() -> None:
    teller, slow, said = WordTeller(), voice(), words("one two three four five")
    off_ms = []
    for _ in range(5):
        times, start_ms = speak(teller, Utterance(slow, SAMPLING), Segment("", (1,), 99, 3, said), 40)
        off_ms.append(abs(times[2].start_ms - start_ms - 8 / 24 * 41 * FRAME_MS))  # by letters
    assert off_ms[-1] < off_ms[0] / 3
    other = teller._pace(Utterance(voice(), SAMPLING))
    assert other.expected_frames(said) < 20, "each voice has its own"


def test_speech_that_was_cut_off_teaches_nothing() -> None:
    teller, cut, said = WordTeller(), voice(), words("one two three")
    before = teller._pace(Utterance(cut, SAMPLING)).expected_frames(said)
    speak(teller, Utterance(cut, SAMPLING), Segment("", (1,), 99, 3, said), None)
    assert teller._pace(Utterance(cut, SAMPLING)).expected_frames(said) == before


def test_a_voice_that_is_hastened_teaches_its_own_pace() -> None:
    teller, hasty, said = WordTeller(), voice(), words("one two three four five")
    speak(teller, Utterance(hasty, SAMPLING, frame_ms=40.0), Segment("", (1,), 99, 3, said), 40)
    slow = WordTeller()
    speak(slow, Utterance(hasty, SAMPLING), Segment("", (1,), 99, 3, said), 40)
    pace, same = (each._pace(Utterance(hasty, SAMPLING)).expected_frames(said) for each in (teller, slow))
    assert pace == pytest.approx(same)


def test_what_was_cancelled_is_forgotten() -> None:
    teller, gone = WordTeller(), Utterance(voice(), SAMPLING)
    segment = Segment("", (1,), 99, 3, words("one two three four five six seven"))
    gone.add(segment)
    gone.begin_segment()
    gone.step(is_eos=False)
    assert len(teller.step(gone, segment, 0.0)(None)) == 1
    gone.move(Status.CANCELLED)
    teller.forget(gone)
    teller.forget(gone)
    assert not teller._clocks


@pytest.mark.parametrize("after_eos", [0, 3])
def test_the_least_that_is_known_of_an_end_only_grows_until_it_is_the_end(after_eos: int) -> None:
    utterance = Utterance(voice(), SAMPLING)
    utterance.add(Segment("", (1,), 30, after_eos))
    utterance.begin_segment()
    seen = [utterance.least_ms]
    while utterance.segment:
        utterance.step(is_eos=utterance.produced_frames == 12)
        seen.append(utterance.least_ms)
    assert seen[0] == (6 + after_eos) * FRAME_MS
    assert seen == sorted(seen)
    assert seen[-1] == utterance.produced_ms
    assert utterance.said

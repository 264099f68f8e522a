"""engine/scheduling/utterance.py: where speech ends, which frames count, and which moves are legal."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from sayline_tts.engine.models.voice import Voice
from sayline_tts.engine.scheduling.utterance import FIRST_FRAME_OF_EOS, LEGAL_MOVES, Status, Utterance
from sayline_tts.engine.segment import Sampling, Segment, Silence

VOICE = Voice(torch.zeros(1, 1, 1, 2), torch.zeros(1, 1, 1, 2))
SAMPLING = Sampling(0.3, None, -4.0, 1, 0)


def speaking(max_frames: int = 20, after_eos: int = 3, continues: bool = False, **more: float) -> Utterance:
    utterance = Utterance(VOICE, SAMPLING, continues=continues, **more)  # type: ignore[arg-type]
    utterance.add(Segment("Hello.", (1, 2), max_frames, after_eos))
    utterance.move(Status.RUNNING)
    utterance.begin_segment()
    return utterance


def run(utterance: Utterance, eos_at: set[int]) -> list[bool]:
    """Steps until the segment is over; which of their frames counted."""
    kept = []
    for step in range(1000):
        counts, spoken = utterance.step(step in eos_at)
        kept.append(counts)
        if spoken:
            return kept
    raise AssertionError("the segment never ends")


@given(
    st.sets(st.integers(0, 40)),
    st.integers(1, 40),
    st.integers(0, 9),
    st.booleans(),
)
def test_speech_lasts_until_its_tail_after_the_first_end_that_counts(
    eos_at: set[int], max_frames: int, after_eos: int, continues: bool
) -> None:
    utterance = speaking(max_frames, after_eos, continues)
    kept = run(utterance, eos_at)
    ends = [step for step in eos_at if step >= FIRST_FRAME_OF_EOS]
    expected = min([max_frames, *[end + after_eos for end in ends]])
    assert sum(kept) == utterance.produced_frames == expected
    assert kept[:expected] == [True] * expected, "what is dropped comes last"


def test_a_frame_that_may_be_dropped_is_announced_before_it_is_made() -> None:
    utterance = speaking(after_eos=0)
    for step in range(30):
        announced = utterance.discard or utterance.discard_on_eos
        kept, spoken = utterance.step(is_eos=step == 9)
        assert kept or announced
        if spoken:
            break
    assert utterance.produced_frames == 9


def test_the_memory_takes_in_the_frame_that_ends_speech_only_where_speech_goes_on_from_it() -> None:
    assert len(run(speaking(after_eos=2), {8})) == 10
    assert len(run(speaking(after_eos=2, continues=True), {8})) == 11


def test_ready_means_something_to_say_and_a_listener_who_needs_it() -> None:
    played_ms = 0.0
    utterance = Utterance(VOICE, SAMPLING, played_ms=lambda: played_ms, max_lead_ms=160.0)
    assert not utterance.ready, "no text"
    utterance.add(Segment("Hello.", (1,), 20, 3))
    assert utterance.ready
    utterance.move(Status.RUNNING)
    utterance.begin_segment()
    utterance.step(False)
    utterance.step(False)
    assert not utterance.ready, "160 ms ahead"
    played_ms = 1.0
    assert utterance.ready
    utterance.move(Status.CANCELLED)
    assert not utterance.ready


def test_complete_only_when_the_end_was_said_and_all_is_spoken() -> None:
    utterance = speaking(max_frames=2)
    utterance.end()
    assert not utterance.complete
    run(utterance, set())
    assert utterance.complete


@pytest.mark.parametrize("before", list(Status))
@pytest.mark.parametrize("after", list(Status))
def test_only_legal_moves_can_be_made(before: Status, after: Status) -> None:
    utterance = Utterance(VOICE, SAMPLING)
    utterance._status = before
    if after in LEGAL_MOVES[before]:
        utterance.move(after)
        assert utterance.status is after
    else:
        with pytest.raises(AssertionError):
            utterance.move(after)
    assert utterance.over == (utterance.status not in (Status.WAITING, Status.RUNNING))


def test_it_is_a_newcomer_from_its_first_text_until_its_listener_has_a_quarter_of_a_second() -> None:
    played_ms = 0.0
    utterance = Utterance(VOICE, SAMPLING, played_ms=lambda: played_ms)
    utterance.add(Segment("Hello.", (1,), 20, 3))
    utterance.begin_segment()
    seen = []
    for _ in range(4):
        seen.append(utterance.newcomer)
        utterance.step(False)
    assert seen == [True, True, True, False]
    played_ms = 320.0
    assert not utterance.newcomer, "it has run dry with text: that is not a beginning"


def test_who_comes_back_from_silence_is_a_newcomer_again_unless_its_listener_is_still_busy() -> None:
    played_ms = 0.0
    utterance = Utterance(VOICE, SAMPLING, played_ms=lambda: played_ms)
    for part in range(2):
        utterance.add(Segment("Hello.", (1,), 5, 3))
        assert utterance.newcomer == (part == 0)
        utterance.begin_segment()
        for _ in range(5):
            utterance.step(False)
    played_ms = 700.0
    utterance.add(Segment("Again.", (1,), 5, 3))
    assert utterance.newcomer


def test_the_clock_brings_the_lead_down_only_as_far_as_audio_was_sent() -> None:
    sent_ms = 160.0
    utterance = speaking(played_ms=lambda: 0.0, sent_ms=lambda: sent_ms)  # type: ignore[arg-type]
    for _ in range(4):
        utterance.step(False)
    assert utterance.due_in_ms(200.0) == 120.0
    assert utterance.due_in_ms(100.0) is None
    sent_ms = 320.0
    assert utterance.due_in_ms(100.0) == 220.0


def test_how_much_is_left_to_say_at_most_and_how_much_of_the_most_was_said() -> None:
    utterance = Utterance(VOICE, SAMPLING)
    assert utterance.spoken_share is None
    utterance.add(Segment("Hello.", (1, 2), 20, 0))
    utterance.add(Segment("Again.", (1, 2), 10, 0))
    assert utterance.next_segment is not None
    assert utterance.most_frames_left == 30
    utterance.begin_segment()
    assert utterance.next_segment is None
    for step in range(10):
        utterance.step(step == 9)
    assert utterance.most_frames_left == 10
    assert utterance.spoken_share == 9 / 20


def test_the_end_of_a_segment_is_known_when_speech_is_over_and_before_that_at_least_how_near_it_can_be() -> None:
    utterance = speaking(max_frames=20, after_eos=3)
    seen, over = [utterance.least_ms], [utterance.said]
    while utterance.segment:
        utterance.step(is_eos=utterance.produced_frames == 8)
        seen.append(utterance.least_ms)
        over.append(utterance.said)
    assert [ms / 80 for ms in seen] == [9, 9, 9, 9, 9, 9, 9, 10, 11, 11, 11, 11]
    assert over == [False] * 9 + [True] * 3
    assert seen[-1] == utterance.produced_ms
    assert speaking(max_frames=4).least_ms == 4 * 80


def test_a_segment_that_is_cut_off_ends_without_the_model_having_said_so() -> None:
    utterance = speaking(max_frames=7)
    run(utterance, set())
    assert not utterance.said
    assert utterance.least_ms == utterance.produced_ms == 7 * 80


def quiet(*parts: Segment | Silence, **more: float) -> Utterance:
    utterance = Utterance(VOICE, SAMPLING, **more)  # type: ignore[arg-type]
    for part in parts:
        utterance.add(part)
    return utterance


def test_a_pause_is_no_step_and_comes_in_its_turn() -> None:
    segment, pause = Segment("Hello.", (1,), 2, 0), Silence(2)
    utterance = quiet(pause, segment, pause)
    assert (utterance.ready, utterance.silent, utterance.next_segment) == (False, True, None)
    assert [utterance.be_silent(), utterance.be_silent()] == [None, pause]
    assert (utterance.ready, utterance.silent, utterance.next_segment) == (True, False, segment)
    assert not utterance.begun, "its slot holds nothing yet"
    utterance.begin_segment()
    assert utterance.segment_start_ms == 160
    assert (utterance.ready, utterance.silent) == (True, False)
    run(utterance, set())
    assert utterance.begun
    utterance.end()
    assert not utterance.complete
    utterance.be_silent()
    assert utterance.be_silent() is pause
    assert (utterance.complete, utterance.silent, utterance.ready) == (True, False, False)
    assert utterance.produced_frames == 6


def test_a_pause_keeps_to_the_listeners_pace_and_to_his_will() -> None:
    played_ms = 0.0
    utterance = quiet(Silence(9), played_ms=lambda: played_ms, max_lead_ms=160.0)  # type: ignore[arg-type]
    for made in (2, 3):
        while utterance.silent:
            utterance.be_silent()
        assert utterance.produced_frames == made
        played_ms += 80
    assert utterance.silent
    utterance.move(Status.CANCELLED)
    assert not utterance.silent


def test_a_pause_is_something_to_say_but_no_speech() -> None:
    utterance = quiet(Silence(5), Segment("Hello.", (1,), 20, 0), Silence(3))
    assert utterance.most_frames_left == 28
    for _ in range(2):
        utterance.be_silent()
    assert utterance.most_frames_left == 26
    assert utterance.spoken_share is None
    for _ in range(3):
        utterance.be_silent()
    utterance.begin_segment()
    run(utterance, {9})
    assert utterance.spoken_share == 9 / 20
    assert utterance.most_frames_left == 3


def test_who_begins_with_a_pause_is_a_newcomer_until_that_has_given_it_a_lead() -> None:
    utterance = quiet(Silence(3))
    seen = []
    for _ in range(3):
        seen.append(utterance.newcomer)
        utterance.be_silent()
    assert [*seen, utterance.newcomer] == [True, True, True, False]


def test_a_pause_has_a_length() -> None:
    with pytest.raises(AssertionError):
        quiet(Silence(0))

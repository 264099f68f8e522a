"""Which utterances are admitted, which queue, and when a rejected one should retry."""

import pytest
import torch

from sayline_tts.engine.errors import Full
from sayline_tts.engine.models.voice import Voice
from sayline_tts.engine.scheduling.admission import IDLE_S, RECLAIM_S, RETRY_MS, TYPICAL_UTTERANCE_MS, Admission
from sayline_tts.engine.scheduling.cost_model import CostCurve, CostModel
from sayline_tts.engine.scheduling.playback_buffer import PlaybackBuffer, PlaybackPosition
from sayline_tts.engine.scheduling.utterance import Status, Utterance
from sayline_tts.engine.segment import Sampling, Segment

VOICE = Voice(torch.zeros(1, 1, 1, 2), torch.zeros(1, 1, 1, 2))


class Clock:
    now_s = 0.0


@pytest.fixture
def clock() -> Clock:
    return Clock()


def admission(clock: Clock, capacity: int | None = 2, slots: int = 8, max_waiting: int = 2) -> Admission:
    return Admission(slots, max_waiting, capacity, CostModel(), 80.0, lambda: clock.now_s)


def utterance(frames: int = 0, end: bool = True, may_queue: bool = True) -> Utterance:
    """An utterance of one segment of `frames`; 0: without text."""
    made = Utterance(VOICE, Sampling(0.3, None, 0.0, 1, 0), may_queue=may_queue)
    if frames:
        made.add(Segment("", (1,), frames, 0))
    if end and frames:
        made.end()
    return made


def speak_all(utterance: Utterance) -> None:
    if utterance.status is Status.WAITING:
        utterance.move(Status.RUNNING)
    while not utterance.idle:
        if utterance.segment is None:
            utterance.begin_segment()
        utterance.step(is_eos=False)


def test_utterances_are_admitted_up_to_capacity_and_then_queue_in_order(clock: Clock) -> None:
    control = admission(clock)
    admitted = [utterance(100), utterance(100)]
    assert [control.admit(each) for each in admitted] == [True, True]
    queue = [utterance(100), utterance(100)]
    assert [control.admit(each) for each in queue] == [False, False]
    assert [control.queue_position(each) for each in queue] == [1, 2]
    assert control.queue_position(admitted[0]) is None
    assert control.admit_next() is None
    admitted[0].move(Status.RUNNING)
    admitted[0].move(Status.CANCELLED)
    control.remove(admitted[0])
    assert control.admit_next() is queue[0]
    assert control.queue_position(queue[1]) == 1


def test_full_is_raised_without_queueing_or_when_the_queue_is_full(clock: Clock) -> None:
    control = admission(clock, capacity=1, max_waiting=1)
    control.admit(utterance(100))
    with pytest.raises(Full, match=r"try again in 8\.0 s") as not_queued:
        control.admit(utterance(10, may_queue=False))
    assert not_queued.value.retry_after_ms == 8000
    control.admit(utterance(50))
    with pytest.raises(Full, match="1 queued") as queue_full:
        control.admit(utterance(10))
    assert queue_full.value.retry_after_ms > 8000, "another utterance is queued before it"


def test_new_utterance_does_not_overtake_the_queue(clock: Clock) -> None:
    control = admission(clock, capacity=1)
    first, second = utterance(1), utterance(1)
    control.admit(first)
    control.admit(second)
    first.move(Status.CANCELLED)
    control.remove(first)
    assert control.has_room
    assert control.admit(late := utterance(1)) is False
    assert [control.admit_next(), control.admit_next()] == [second, None]
    assert control.queue_position(late) == 1


def test_idle_utterance_stops_being_load_and_is_not_queued_again(clock: Clock) -> None:
    control = admission(clock, capacity=1)
    idle = utterance(2, end=False)
    control.admit(idle)
    speak_all(idle)
    clock.now_s = 1.0
    control.refresh()
    control.admit(waiting := utterance(5))
    assert control.load == 1, "a pause between two sentences"
    assert control.next_due_s() == pytest.approx(IDLE_S - 1.0)
    clock.now_s = IDLE_S + 0.01
    assert control.load == 0
    assert control.admit_next() is waiting
    idle.add(Segment("", (1,), 5, 0))
    assert control.load == 2, "over capacity, but it was admitted"
    assert not control.has_room


def test_utterance_without_text_takes_up_capacity_for_a_moment_only(clock: Clock) -> None:
    control = admission(clock, capacity=2)
    assert all(control.admit(utterance()) for _ in range(2))
    with pytest.raises(Full):
        control.admit(utterance(5, may_queue=False))
    clock.now_s = IDLE_S
    assert control.admit(utterance(5, may_queue=False))


def test_idle_utterances_keep_their_slots(clock: Clock) -> None:
    control = admission(clock, capacity=2, slots=2)
    assert all(control.admit(utterance()) for _ in range(2))
    clock.now_s = 100.0
    assert control.load == 0
    with pytest.raises(Full):
        control.admit(utterance(5, may_queue=False))


def test_cancelled_utterance_in_the_queue_is_never_admitted(clock: Clock) -> None:
    control = admission(clock, capacity=1)
    admitted, gone, last = utterance(5), utterance(5), utterance(5)
    for each in (admitted, gone, last):
        control.admit(each)
    gone.move(Status.CANCELLED)
    admitted.move(Status.CANCELLED)
    assert control.admit_next() is last
    control.remove(gone)
    assert not control.waiting


def test_retry_time_follows_from_what_is_left_to_say(clock: Clock) -> None:
    control = admission(clock, capacity=3)
    for frames in (300, 25, 100):
        control.admit(utterance(frames))
    assert control.retry_after_ms() == 2000
    control.admit(utterance(10))
    assert control.retry_after_ms() == 8000
    control.admit(utterance(10))
    assert control.retry_after_ms() == 24_000


def test_open_utterance_is_expected_to_have_typical_length(clock: Clock) -> None:
    control = admission(clock, capacity=1)
    control.admit(utterance(10, end=False))
    assert control.retry_after_ms() == TYPICAL_UTTERANCE_MS


def test_typical_length_is_learned_from_finished_utterances(clock: Clock) -> None:
    control = admission(clock, capacity=1)
    for _ in range(60):
        finished = utterance(50)
        control.admit(finished)
        speak_all(finished)
        control.remove(finished)
    control.admit(utterance(10, end=False))
    assert control.retry_after_ms() == pytest.approx(4000, rel=0.02)


def test_retry_time_is_bounded(clock: Clock) -> None:
    control = admission(clock, capacity=1)
    control.admit(utterance(1))
    assert control.retry_after_ms() == RETRY_MS[0]
    control.admit(utterance(10**6))
    control.admit_next()
    assert admission(clock, capacity=0).retry_after_ms() == TYPICAL_UTTERANCE_MS, "nothing is admitted"


def test_capacity_is_profiled_unless_it_is_given(clock: Clock) -> None:
    control = admission(clock, capacity=None, slots=50)
    assert control.capacity == 50, "not profiled yet"
    control._costs.step = CostCurve([(1, 8.0), (10, 80.0)])
    control._costs.prefill = CostCurve([(1, 0.0)])
    assert control.capacity == 9
    assert admission(clock, capacity=99, slots=50).capacity == 50


def test_utterance_at_twice_the_speed_needs_twice_the_capacity(clock: Clock) -> None:
    control = admission(clock, capacity=3)
    fast = Utterance(VOICE, Sampling(0.3, None, 0.0, 1, 0), frame_ms=40.0)
    fast.add(Segment("", (1,), 100, 0))
    assert [control.admit(each) for each in (fast, utterance(100), utterance(100))] == [True, True, False]


def test_slots_that_others_wait_for_are_taken_from_those_silent_for_longest(clock: Clock) -> None:
    control = admission(clock, capacity=3, slots=3, max_waiting=8)
    silent = [utterance(3, end=False) for _ in range(3)]
    for each in silent:
        control.admit(each)
        speak_all(each)
        each.buffer = PlaybackBuffer(PlaybackPosition(each.produced_ms), 80.0, 1000.0)  # it has been played
        clock.now_s += 1
        control.refresh()
    clock.now_s = RECLAIM_S + 0.5
    assert control.reclaimable() == [], "nobody waits"
    waiting = utterance(10)
    assert not control.admit(waiting)
    assert control.reclaimable() == silent[:1], "the others have been silent for less than that"
    clock.now_s += 10
    assert control.reclaimable() == silent[:1], "one place is enough for one"
    control.admit(utterance(10))
    assert control.reclaimable() == silent[:2]
    silent[0].add(Segment("", (1,), 5, 0))
    control.refresh()
    assert control.reclaimable() == silent[1:]
    silent[1].buffer = PlaybackBuffer(PlaybackPosition(silent[1].produced_ms - 80), 80.0, 1000.0)
    assert control.reclaimable() == silent[2:], "its last frame is still being played"
    silent[2].end()
    assert control.reclaimable() == [], "it ends by itself"
    for each in list(control.waiting):
        each.move(Status.CANCELLED)
    silent[1].buffer = PlaybackBuffer(PlaybackPosition(silent[1].produced_ms), 80.0, 1000.0)
    assert control.reclaimable() == [], "those that waited have left"


def test_no_slot_is_taken_back_while_there_are_others(clock: Clock) -> None:
    control = admission(clock, capacity=1, slots=2)
    silent = utterance(3, end=False)
    control.admit(silent)
    speak_all(silent)
    assert not control.admit(utterance(10)), "the capacity is reached"
    clock.now_s = 100.0
    assert control.reclaimable() == []

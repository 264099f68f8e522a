"""engine/scheduling/admission.py: who is let in, who waits, and when to come back."""

import pytest
import torch

from sayline_tts.engine.errors import Full
from sayline_tts.engine.models.voice import Voice
from sayline_tts.engine.scheduling.admission import QUIET_S, RETRY_MS, USUAL_MS, Admission
from sayline_tts.engine.scheduling.cost_model import Costs, Curve
from sayline_tts.engine.scheduling.utterance import Status, Utterance
from sayline_tts.engine.segment import Sampling, Segment

VOICE = Voice(torch.zeros(1, 1, 1, 2), torch.zeros(1, 1, 1, 2))


class Clock:
    now_s = 0.0


@pytest.fixture
def clock() -> Clock:
    return Clock()


def admission(clock: Clock, capacity: int | None = 2, slots: int = 8, max_waiting: int = 2) -> Admission:
    return Admission(slots, max_waiting, capacity, Costs(), 80.0, lambda: clock.now_s)


def utterance(frames: int = 0, end: bool = True, waits: bool = True) -> Utterance:
    """With so much to say."""
    made = Utterance(VOICE, Sampling(0.3, None, 0.0, 1, 0), waits=waits)
    if frames:
        made.add(Segment("", (1,), frames, 0))
    if end and frames:
        made.end()
    return made


def speak_all(one: Utterance) -> None:
    if one.status is Status.WAITING:
        one.move(Status.RUNNING)
    while not one.idle:
        if one.segment is None:
            one.begin_segment()
        one.step(is_eos=False)


def test_up_to_capacity_everybody_is_let_in_and_then_they_wait_in_order(clock: Clock) -> None:
    gate = admission(clock)
    inside = [utterance(100), utterance(100)]
    assert [gate.ask(each) for each in inside] == [True, True]
    queue = [utterance(100), utterance(100)]
    assert [gate.ask(each) for each in queue] == [False, False]
    assert [gate.place(each) for each in queue] == [1, 2]
    assert gate.place(inside[0]) is None
    assert gate.next() is None
    inside[0].move(Status.RUNNING)
    inside[0].move(Status.CANCELLED)
    gate.leave(inside[0])
    assert gate.next() is queue[0]
    assert gate.place(queue[1]) == 1


def test_who_does_not_want_to_wait_is_told_at_once_and_the_queue_has_an_end(clock: Clock) -> None:
    gate = admission(clock, capacity=1, max_waiting=1)
    gate.ask(utterance(100))
    with pytest.raises(Full, match=r"try again in 8\.0 s") as hurried:
        gate.ask(utterance(10, waits=False))
    assert hurried.value.retry_after_ms == 8000
    gate.ask(utterance(50))
    with pytest.raises(Full, match="1 wait") as last:
        gate.ask(utterance(10))
    assert last.value.retry_after_ms > 8000, "one is before him"


def test_nobody_passes_those_who_wait(clock: Clock) -> None:
    gate = admission(clock, capacity=1)
    first, second = utterance(1), utterance(1)
    gate.ask(first)
    gate.ask(second)
    first.move(Status.CANCELLED)
    gate.leave(first)
    assert gate.room
    assert gate.ask(late := utterance(1)) is False
    assert [gate.next(), gate.next()] == [second, None]
    assert gate.place(late) == 1


def test_who_is_silent_for_long_is_no_load_and_is_not_asked_again(clock: Clock) -> None:
    gate = admission(clock, capacity=1)
    writer = utterance(2, end=False)
    gate.ask(writer)
    speak_all(writer)
    clock.now_s = 1.0
    gate.look()
    gate.ask(waiting := utterance(5))
    assert gate.load == 1, "a pause between two sentences"
    assert gate.next_due_s() == pytest.approx(QUIET_S - 1.0)
    clock.now_s = QUIET_S + 0.01
    assert gate.load == 0
    assert gate.next() is waiting
    writer.add(Segment("", (1,), 5, 0))
    assert gate.load == 2, "over capacity, but it was let in"
    assert not gate.room


def test_who_opens_and_says_nothing_takes_up_room_for_a_moment_only(clock: Clock) -> None:
    gate = admission(clock, capacity=2)
    assert all(gate.ask(utterance()) for _ in range(2))
    with pytest.raises(Full):
        gate.ask(utterance(5, waits=False))
    clock.now_s = QUIET_S
    assert gate.ask(utterance(5, waits=False))


def test_silent_ones_keep_their_slots(clock: Clock) -> None:
    gate = admission(clock, capacity=2, slots=2)
    assert all(gate.ask(utterance()) for _ in range(2))
    clock.now_s = 100.0
    assert gate.load == 0
    with pytest.raises(Full):
        gate.ask(utterance(5, waits=False))


def test_who_is_cancelled_while_waiting_is_never_let_in(clock: Clock) -> None:
    gate = admission(clock, capacity=1)
    inside, gone, last = utterance(5), utterance(5), utterance(5)
    for each in (inside, gone, last):
        gate.ask(each)
    gone.move(Status.CANCELLED)
    inside.move(Status.CANCELLED)
    assert gate.next() is last
    gate.leave(gone)
    assert not gate.waiting


def test_when_to_come_back_follows_from_what_is_left_to_say(clock: Clock) -> None:
    gate = admission(clock, capacity=3)
    for frames in (300, 25, 100):
        gate.ask(utterance(frames))
    assert gate.retry_after_ms() == 2000
    gate.ask(utterance(10))
    assert gate.retry_after_ms() == 8000
    gate.ask(utterance(10))
    assert gate.retry_after_ms() == 24_000


def test_of_who_still_writes_as_much_is_expected_as_others_said(clock: Clock) -> None:
    gate = admission(clock, capacity=1)
    gate.ask(utterance(10, end=False))
    assert gate.retry_after_ms() == USUAL_MS


def test_the_guess_is_corrected_by_those_who_end(clock: Clock) -> None:
    gate = admission(clock, capacity=1)
    for _ in range(60):
        one = utterance(50)
        gate.ask(one)
        speak_all(one)
        gate.leave(one)
    gate.ask(utterance(10, end=False))
    assert gate.retry_after_ms() == pytest.approx(4000, rel=0.02)


def test_the_guess_has_bounds(clock: Clock) -> None:
    gate = admission(clock, capacity=1)
    gate.ask(utterance(1))
    assert gate.retry_after_ms() == RETRY_MS[0]
    gate.ask(utterance(10**6))
    gate.next()
    assert admission(clock, capacity=0).retry_after_ms() == USUAL_MS, "nobody is inside"


def test_capacity_is_measured_unless_it_is_given(clock: Clock) -> None:
    gate = admission(clock, capacity=None, slots=50)
    assert gate.capacity == 50, "nothing was measured"
    gate._costs.step = Curve([(1, 8.0), (10, 80.0)])
    gate._costs.join = Curve([(1, 0.0)])
    assert gate.capacity == 9
    assert admission(clock, capacity=99, slots=50).capacity == 50


def test_who_hears_at_twice_the_speed_needs_the_room_of_two(clock: Clock) -> None:
    gate = admission(clock, capacity=3)
    fast = Utterance(VOICE, Sampling(0.3, None, 0.0, 1, 0), frame_ms=40.0)
    fast.add(Segment("", (1,), 100, 0))
    assert [gate.ask(each) for each in (fast, utterance(100), utterance(100))] == [True, True, False]

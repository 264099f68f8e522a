"""engine/scheduling/scheduler.py: who steps when, and nobody loses a slot while it may be written to."""

from collections.abc import Callable

import pytest
import torch
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from sayline_tts.engine.errors import Full
from sayline_tts.engine.models.voice import Voice
from sayline_tts.engine.scheduling.cost_model import Costs, Curve
from sayline_tts.engine.scheduling.scheduler import Batch, Scheduler
from sayline_tts.engine.scheduling.utterance import Status, Utterance
from sayline_tts.engine.segment import Sampling, Segment, Silence

VOICE = Voice(torch.zeros(1, 1, 1, 2), torch.zeros(1, 1, 1, 2))
SAMPLING = Sampling(0.3, None, -4.0, 1, 0)
SLOTS, WAITING = 3, 2
FRAME_MS = 80.0


class Clock:
    """In ms; listeners play while it runs."""

    def __init__(self) -> None:
        self.now_ms = 0.0

    def now_s(self) -> float:
        return self.now_ms / 1000


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def scheduler(clock: Clock) -> Scheduler:
    """FlowLM takes 10 ms, a prefill 1 ms a position, a group of the codec 5 ms."""
    costs = Costs(flow=Curve([(1, 10.0)]), join=Curve([(1, 1.0), (100, 100.0)]), group=Curve([(1, 5.0)]))
    return Scheduler(100, 10, costs=costs, frame_ms=FRAME_MS, now_s=clock.now_s)


Ahead = Callable[..., Utterance]


@pytest.fixture
def ahead(scheduler: Scheduler, clock: Clock) -> Ahead:
    """Adds one whose listener has so much lead now; of `lead_ms` None, one who comes only now."""

    def make(lead_ms: float | None = None, tokens: int = 9, joins: bool = False, max_lead_ms: float = 1000.0,
             all_sent: bool = True) -> Utterance:  # fmt: skip
        since_ms, frames = clock.now_ms, 20

        def played_ms() -> float:
            return 0.0 if lead_ms is None else frames * FRAME_MS - lead_ms + clock.now_ms - since_ms

        utterance = Utterance(
            VOICE,
            SAMPLING,
            played_ms=played_ms,
            sent_ms=None if all_sent else played_ms,
            max_lead_ms=max_lead_ms,
        )
        utterance.add(Segment("", (1,) * tokens, 1000, 0))
        scheduler.add(utterance)
        if lead_ms is not None:
            utterance._begins, utterance.produced_frames = False, frames
            if not joins:
                utterance.begin_segment()
        return utterance

    return make


def stepping(scheduler: Scheduler, backlog: int = 0) -> list[Utterance]:
    return [scheduler.running[row.slot] for row in scheduler.schedule(backlog).rows]


def finish(scheduler: Scheduler, batch: Batch) -> None:
    for row in batch.rows:
        scheduler.running[row.slot].step(is_eos=False)


def test_nobody_steps_while_everybody_has_enough_and_the_clock_says_when_to_look_again(
    scheduler: Scheduler, clock: Clock, ahead: Ahead
) -> None:
    first = ahead(530.0)
    ahead(900.0)
    assert not scheduler.schedule()
    assert scheduler.next_due_s() == pytest.approx(0.03)
    clock.now_ms += 30
    assert stepping(scheduler) == [first]


def test_who_presses_takes_along_those_who_would_press_within_a_frame(scheduler: Scheduler, ahead: Ahead) -> None:
    together = [ahead(500.0), ahead(540.0), ahead(580.0)]
    ahead(581.0)
    assert stepping(scheduler) == together


def test_who_is_parked_takes_no_part_and_sets_no_alarm_while_nothing_can_be_sent(
    scheduler: Scheduler, ahead: Ahead
) -> None:
    ahead(1000.0, all_sent=False)
    assert not scheduler.schedule()
    assert scheduler.next_due_s() is None, "the socket has to take more before the clock can do anything"
    pressing = ahead(100.0)
    assert stepping(scheduler) == [pressing]


def test_without_anybody_to_serve_there_is_nothing_to_look_for(scheduler: Scheduler) -> None:
    scheduler.add(Utterance(VOICE, SAMPLING))
    assert not scheduler.schedule()
    assert scheduler.next_due_s() is None


def test_newcomers_join_before_others_step(scheduler: Scheduler, ahead: Ahead) -> None:
    ahead(300.0)
    newcomer = ahead()
    assert stepping(scheduler) == [newcomer]


def test_newcomers_join_alone_and_segments_begin_in_one_pass_with_those_who_go_on(
    scheduler: Scheduler, ahead: Ahead
) -> None:
    ahead(300.0), ahead(310.0, joins=True), ahead()
    passes = []
    for _ in range(4):
        batch = scheduler.schedule()
        passes.append([(row.slot, row.join is not None) for row in batch.rows])
        finish(scheduler, batch)
    assert passes == [[(2, True)], [(2, False)], [(2, False)], [(0, False), (1, True), (2, False)]]


def test_newcomers_step_alone_while_all_others_have_more_than_they(scheduler: Scheduler, ahead: Ahead) -> None:
    plenty, newcomer = ahead(400.0), ahead()
    assert [stepping(scheduler), stepping(scheduler)] == [[newcomer]] * 2
    less = ahead(200.0)
    assert stepping(scheduler) == [plenty, newcomer, less]


def test_a_newcomer_is_one_until_it_has_its_lead_and_again_when_it_comes_back_from_silence(
    scheduler: Scheduler, ahead: Ahead
) -> None:
    newcomer = ahead()
    for _ in range(3):
        assert newcomer.newcomer
        finish(scheduler, scheduler.schedule())
    assert not newcomer.newcomer
    slow = ahead(100.0)
    assert not slow.newcomer, "it had text all the time: we were late"


def test_rows_are_a_step_ahead_of_the_codec_and_newcomers_do_not_wait_for_it(
    scheduler: Scheduler, ahead: Ahead
) -> None:
    two = [ahead(300.0), ahead(320.0)]
    assert stepping(scheduler, backlog=3) == []
    assert scheduler.held_frames == 2
    assert stepping(scheduler, backlog=2) == two
    assert scheduler.held_frames is None
    newcomer = ahead()
    assert stepping(scheduler, backlog=99) == [newcomer]


def test_who_is_about_to_run_dry_does_not_wait_for_the_codec_and_takes_the_others_along(
    scheduler: Scheduler, clock: Clock, ahead: Ahead
) -> None:
    both = [ahead(150.0), ahead(400.0)]
    assert stepping(scheduler, backlog=99) == []
    assert scheduler.next_due_s() == pytest.approx(0.03), "or when the codec is through"
    clock.now_ms += 31
    assert stepping(scheduler, backlog=99) == both


def test_prefill_takes_no_more_time_than_those_who_listen_have(scheduler: Scheduler, ahead: Ahead) -> None:
    """A step takes 10 ms and the codec twice 5: 100 ms of lead leave 80, of which texts may have 40, and 10 more in one
    pass with those who go on, since their pass has to be anyway."""
    going = ahead(100.0)
    others = [ahead(300.0, tokens=9, joins=True) for _ in range(9)]
    assert stepping(scheduler) == [going, *others[:5]]
    newcomers = [ahead(tokens=9) for _ in range(9)]
    assert stepping(scheduler) == newcomers[:4]


def test_little_lead_leaves_time_for_few(scheduler: Scheduler, ahead: Ahead) -> None:
    ahead(45.0)
    newcomers = [ahead(tokens=9) for _ in range(9)]
    assert stepping(scheduler) == newcomers[:2]


def test_where_there_is_no_time_for_both_every_other_pass_takes_one_newcomer_along(
    scheduler: Scheduler, clock: Clock, ahead: Ahead
) -> None:
    dry = ahead(20.0)
    newcomers = {ahead(tokens=30) for _ in range(4)}
    positions = []
    for _ in range(6):
        batch = scheduler.schedule()
        positions.append(batch.positions)
        assert dry in [scheduler.running[row.slot] for row in batch.rows]
        finish(scheduler, batch)
        clock.now_ms += 80
    assert positions == [0, 31] * 3
    assert len([each for each in newcomers if each.segment]) == 3


def test_a_segment_that_is_late_begins_in_any_case(scheduler: Scheduler, ahead: Ahead) -> None:
    both = [ahead(20.0), ahead(10.0, tokens=90, joins=True)]
    assert stepping(scheduler) == both


def test_a_segment_that_begins_in_time_waits_where_those_who_have_less_have_no_time(
    scheduler: Scheduler, ahead: Ahead
) -> None:
    """25 ms of lead leave 5; the text takes 31, of which the pass of the other pays 10."""
    least = ahead(25.0)
    ahead(450.0, tokens=30, joins=True)
    assert stepping(scheduler) == [least]


def test_who_never_wants_much_lead_is_served_at_half_of_it(scheduler: Scheduler, ahead: Ahead) -> None:
    frugal = ahead(50.0, max_lead_ms=80.0)
    assert not scheduler.schedule()
    assert scheduler.next_due_s() == pytest.approx(0.01)
    assert not frugal.newcomer


def test_the_codec_hears_when_each_frame_is_due(scheduler: Scheduler, clock: Clock, ahead: Ahead) -> None:
    clock.now_ms = 7000
    ahead(300.0), ahead(320.0)
    assert [row.due_s for row in scheduler.schedule().rows] == pytest.approx([7.3, 7.32])


def test_low_slots_are_taken_first_so_that_the_state_stays_small(scheduler: Scheduler, ahead: Ahead) -> None:
    first = ahead()
    ahead()
    first.move(Status.CANCELLED)
    scheduler.release()
    ahead()
    assert sorted(scheduler.running) == [0, 1]


def test_who_is_silent_takes_no_part_in_a_step_but_the_clock_says_when_there_is_more_to_be_made(
    scheduler: Scheduler, clock: Clock, ahead: Ahead
) -> None:
    quiet = Utterance(VOICE, SAMPLING, played_ms=lambda: clock.now_ms, max_lead_ms=400.0)
    quiet.add(Silence(20))
    scheduler.add(quiet)
    assert not scheduler.schedule()
    while quiet.silent:
        quiet.be_silent()
    assert quiet.produced_ms == 400
    assert scheduler.next_due_s() == pytest.approx(0.2), "when half of it is played"
    speaks = ahead(100.0)
    assert stepping(scheduler) == [speaks]


class Books(RuleBasedStateMachine):
    """Random owners who add, speak, pause, cancel and end while steps are under way and time goes by."""

    def __init__(self) -> None:
        super().__init__()
        self.clock = Clock()
        self.scheduler = Scheduler(SLOTS, WAITING, now_s=self.clock.now_s)
        self.all: list[Utterance] = []
        self.gone: list[Utterance] = []
        self.in_flight = Batch(())

    @rule(segments=st.integers(0, 2), waits=st.booleans())
    def add(self, segments: int, waits: bool) -> None:
        utterance = Utterance(VOICE, SAMPLING, waits=waits)
        for _ in range(segments):
            utterance.add(Segment("Yes.", (1,), 4, 0))
        try:
            self.scheduler.add(utterance)
        except Full:
            assert not waits or len(self.scheduler.admission.waiting) >= WAITING
            return
        self.all.append(utterance)

    @rule(data=st.data())
    def more_text_or_the_end(self, data: st.DataObject) -> None:
        if open_ones := [each for each in self.all if not each.over and not each.ended]:
            chosen = data.draw(st.sampled_from(open_ones))
            part = data.draw(st.sampled_from([Segment("More.", (1, 2), 4, 0), Silence(1), Silence(3), None]))
            if part is not None:
                chosen.add(part)
            else:
                chosen.end()

    @rule(data=st.data())
    def cancel(self, data: st.DataObject) -> None:
        if alive := [each for each in self.all if not each.over]:
            data.draw(st.sampled_from(alive)).move(Status.CANCELLED)

    @rule(backlog=st.integers(0, 4))
    def schedule(self, backlog: int) -> None:
        if not self.in_flight:
            self.in_flight = self.scheduler.schedule(backlog)
            slots = [row.slot for row in self.in_flight.rows]
            assert slots == sorted(set(slots))
            assert all(self.scheduler.running[slot].segment for slot in slots)

    @rule(passed_ms=st.sampled_from([1, 100, 3000]))
    def time_goes_by(self, passed_ms: float) -> None:
        self.clock.now_ms += passed_ms

    @rule()
    def commit(self) -> None:
        for row in self.in_flight.rows:
            utterance = self.scheduler.running[row.slot]  # whoever is in flight still has the slot
            if not utterance.over:
                utterance.step(is_eos=False)
        self.in_flight = Batch(())
        for utterance in self.scheduler.running.values():
            while utterance.silent:
                utterance.be_silent()
        for utterance, _ in self.scheduler.release():
            assert utterance not in self.gone
            self.gone.append(utterance)
            if not utterance.over:
                utterance.move(Status.FINISHED)

    @invariant()
    def everybody_is_in_one_place(self) -> None:
        running, waiting = list(self.scheduler.running.values()), list(self.scheduler.admission.waiting)
        assert sorted(map(id, running + waiting + self.gone)) == sorted(map(id, self.all))
        assert sorted([*self.scheduler._free, *self.scheduler.running]) == list(range(SLOTS))
        assert all(each.status is not Status.WAITING for each in running)
        assert self.scheduler.admission.load <= len(running)
        assert [self.scheduler.admission.place(each) for each in waiting] == list(range(1, len(waiting) + 1))


Books.TestCase.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
TestBooks = Books.TestCase

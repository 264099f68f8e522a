"""engine/scheduler.py: nobody loses a slot while it may be written to, nobody waits without reason."""

import torch
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from engine.errors import Full
from engine.scheduler import Batch, Scheduler
from engine.utterance import Sampling, Segment, Status, Utterance
from engine.voice import Voice

VOICE = Voice(torch.zeros(1, 1, 1, 2), torch.zeros(1, 1, 1, 2))
SLOTS, WAITING = 3, 2


class Books(RuleBasedStateMachine):
    """Random owners who add, speak, cancel and end while steps are under way."""

    def __init__(self) -> None:
        super().__init__()
        self.scheduler = Scheduler(SLOTS, WAITING)
        self.all: list[Utterance] = []
        self.gone: list[Utterance] = []
        self.in_flight = Batch(())

    @rule(segments=st.integers(0, 2))
    def add(self, segments: int) -> None:
        utterance = Utterance(VOICE, Sampling(0.3, None, -4.0, 1, 0))
        for _ in range(segments):
            utterance.add(Segment("Yes.", (1,), 4, 0))
        try:
            self.scheduler.add(utterance)
        except Full:
            assert len(self.scheduler.waiting) >= WAITING
            return
        self.all.append(utterance)

    @rule(data=st.data())
    def more_text_or_the_end(self, data: st.DataObject) -> None:
        if open_ones := [each for each in self.all if not each.over and not each._ended]:
            chosen = data.draw(st.sampled_from(open_ones))
            if data.draw(st.booleans()):
                chosen.add(Segment("More.", (1, 2), 4, 0))
            else:
                chosen.end()

    @rule(data=st.data())
    def cancel(self, data: st.DataObject) -> None:
        if alive := [each for each in self.all if not each.over]:
            data.draw(st.sampled_from(alive)).move(Status.CANCELLED)

    @rule()
    def schedule(self) -> None:
        if not self.in_flight:
            self.in_flight = self.scheduler.schedule()
            slots = [row.slot for row in self.in_flight.rows]
            assert len(set(slots)) == len(slots)
            joins = [row.join is not None for row in self.in_flight.rows]
            assert joins == sorted(joins, reverse=True), "rows that join come first"

    @rule()
    def commit(self) -> None:
        for row in self.in_flight.rows:
            utterance = self.scheduler.running[row.slot]  # whoever is in flight still has the slot
            if not utterance.over:
                utterance.step(is_eos=False)
        self.in_flight = Batch(())
        for utterance, _ in self.scheduler.release():
            assert utterance not in self.gone
            self.gone.append(utterance)
            if not utterance.over:
                utterance.move(Status.FINISHED)

    @invariant()
    def everybody_is_in_one_place(self) -> None:
        running, waiting = list(self.scheduler.running.values()), list(self.scheduler.waiting)
        assert sorted(map(id, running + waiting + self.gone)) == sorted(map(id, self.all))
        assert len(running) <= SLOTS
        assert sorted([*self.scheduler._free, *self.scheduler.running]) == list(range(SLOTS))
        assert all(each.status is not Status.WAITING for each in running)


Books.TestCase.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
TestBooks = Books.TestCase


def test_low_slots_are_taken_first_so_that_the_state_stays_small() -> None:
    scheduler = Scheduler(8, 0)
    for _ in range(2):
        utterance = Utterance(VOICE, Sampling(0.3, None, -4.0, 1, 0))
        utterance.add(Segment("Yes.", (1,), 4, 0))
        scheduler.add(utterance)
    scheduler.schedule()
    assert sorted(scheduler.running) == [0, 1]

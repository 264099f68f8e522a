"""Which rows step when; a slot is never reassigned while it may be written to."""

import math
from collections.abc import Callable

import pytest
import torch
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from sayline_tts.engine.errors import Full
from sayline_tts.engine.models.voice import Voice
from sayline_tts.engine.scheduling.cost_model import CostCurve, CostModel
from sayline_tts.engine.scheduling.playback_buffer import PlaybackPosition
from sayline_tts.engine.scheduling.scheduler import Batch, Prefill, Scheduler
from sayline_tts.engine.scheduling.utterance import Status, Utterance
from sayline_tts.engine.scheduling.word_position import WordLimit
from sayline_tts.engine.segment import Sampling, Segment, Silence
from sayline_tts.engine.text.chunk import Word

VOICE = Voice(torch.zeros(1, 1, 1, 2), torch.zeros(1, 1, 1, 2))
SAMPLING = Sampling(0.3, None, -4.0, 1, 0)
SLOTS, WAITING = 3, 2
FRAME_MS = 80.0


class Clock:
    """Simulated time in ms; listeners play while it runs."""

    def __init__(self) -> None:
        self.now_ms = 0.0

    def now_s(self) -> float:
        return self.now_ms / 1000


class Playing:
    """Playback from now on; `all_sent`: everything produced has been sent, else only what is played."""

    def __init__(self, clock: Clock, played_ms: float = 0.0, all_sent: bool = True) -> None:
        self._clock, self._offset_ms, self._all_sent = clock, played_ms - clock.now_ms, all_sent

    @property
    def played_ms(self) -> float:
        return self._clock.now_ms + self._offset_ms

    @property
    def sent_ms(self) -> float:
        return math.inf if self._all_sent else self.played_ms


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def scheduler(clock: Clock) -> Scheduler:
    """A decode step of FlowLM takes 10 ms, prefill 1 ms a position, a decode group of the codec 5 ms."""
    costs = CostModel(
        flow_lm=CostCurve([(1, 10.0)]), prefill=CostCurve([(1, 1.0), (100, 100.0)]), codec=CostCurve([(1, 5.0)])
    )
    return Scheduler(100, 10, costs=costs, frame_ms=FRAME_MS, now_s=clock.now_s)


AddUtterance = Callable[..., Utterance]


@pytest.fixture
def add_utterance(scheduler: Scheduler, clock: Clock) -> AddUtterance:
    """Adds an utterance that has `lead_ms` now; None: one that has just begun.

    `prefill`: its next step begins a segment. `all_sent`: everything produced has been sent.
    """

    def make(lead_ms: float | None = None, tokens: int = 9, prefill: bool = False, max_lead_ms: float = 1000.0,
             all_sent: bool = True) -> Utterance:  # fmt: skip
        frames = 20
        played_ms = 0.0 if lead_ms is None else frames * FRAME_MS - lead_ms
        playback = Playing(clock, played_ms, all_sent) if lead_ms is not None else PlaybackPosition()
        utterance = Utterance(
            VOICE,
            SAMPLING,
            playback=playback,
            max_lead_ms=max_lead_ms,
        )
        utterance.add(Segment("", (1,) * tokens, 1000, 0))
        scheduler.add(utterance)
        if lead_ms is not None:
            utterance.buffer._starting, utterance.buffer.produced_frames = False, frames
            if not prefill:
                utterance.begin_segment()
        return utterance

    return make


def stepping(scheduler: Scheduler, backlog: int = 0) -> list[Utterance]:
    return [scheduler.running[row.slot] for row in scheduler.schedule(backlog).rows]


def finish(scheduler: Scheduler, batch: Batch) -> None:
    for row in batch.rows:
        scheduler.running[row.slot].step(is_eos=False)


def test_no_row_steps_above_the_low_water_mark_and_a_timer_is_set_for_the_first(
    scheduler: Scheduler, clock: Clock, add_utterance: AddUtterance
) -> None:
    first = add_utterance(530.0)
    add_utterance(900.0)
    assert not scheduler.schedule()
    assert scheduler.next_due_s() == pytest.approx(0.03)
    clock.now_ms += 30
    assert stepping(scheduler) == [first]


def test_rows_that_want_a_step_within_a_frame_join_the_batch(scheduler: Scheduler, add_utterance: AddUtterance) -> None:
    together = [add_utterance(500.0), add_utterance(540.0), add_utterance(580.0)]
    add_utterance(581.0)
    assert stepping(scheduler) == together


def test_paused_utterance_is_not_scheduled_and_sets_no_timer_while_nothing_can_be_sent(
    scheduler: Scheduler, add_utterance: AddUtterance
) -> None:
    add_utterance(1000.0, all_sent=False)
    assert not scheduler.schedule()
    assert scheduler.next_due_s() is None, "the socket must take more before the clock can lower the lead"
    waiting = add_utterance(100.0)
    assert stepping(scheduler) == [waiting]


def test_utterance_without_text_sets_no_timer(scheduler: Scheduler) -> None:
    scheduler.add(Utterance(VOICE, SAMPLING))
    assert not scheduler.schedule()
    assert scheduler.next_due_s() is None


def test_first_audio_is_prefilled_before_others_step(scheduler: Scheduler, add_utterance: AddUtterance) -> None:
    add_utterance(300.0)
    starting = add_utterance()
    assert stepping(scheduler) == [starting]


def test_first_audio_is_prefilled_alone_and_later_segments_share_a_pass_with_decode_rows(
    scheduler: Scheduler, add_utterance: AddUtterance
) -> None:
    add_utterance(300.0), add_utterance(310.0, prefill=True), add_utterance()
    passes = []
    for _ in range(4):
        batch = scheduler.schedule()
        passes.append([(row.slot, row.prefill is not None) for row in batch.rows])
        finish(scheduler, batch)
    assert passes == [[(2, True)], [(2, False)], [(2, False)], [(0, False), (1, True), (2, False)]]


def test_rows_awaiting_first_audio_step_alone_while_all_others_have_more_lead(
    scheduler: Scheduler, add_utterance: AddUtterance
) -> None:
    plenty, starting = add_utterance(400.0), add_utterance()
    assert [stepping(scheduler), stepping(scheduler)] == [[starting]] * 2
    less = add_utterance(200.0)
    assert stepping(scheduler) == [plenty, starting, less]


def test_row_awaits_first_audio_until_it_has_its_startup_lead(
    scheduler: Scheduler, add_utterance: AddUtterance
) -> None:
    starting = add_utterance()
    for _ in range(3):
        assert starting.buffer.awaiting_first_audio
        finish(scheduler, scheduler.schedule())
    assert not starting.buffer.awaiting_first_audio
    slow = add_utterance(100.0)
    assert not slow.buffer.awaiting_first_audio, "it had text all the time: the engine was late"


def test_rows_wait_for_the_codec_and_first_audio_does_not(scheduler: Scheduler, add_utterance: AddUtterance) -> None:
    two = [add_utterance(300.0), add_utterance(320.0)]
    assert stepping(scheduler, backlog=3) == []
    assert scheduler.throttled_until == 2
    assert stepping(scheduler, backlog=2) == two
    assert scheduler.throttled_until is None
    starting = add_utterance()
    assert stepping(scheduler, backlog=99) == [starting]


def test_row_near_underrun_lifts_the_throttle_for_the_whole_batch(
    scheduler: Scheduler, clock: Clock, add_utterance: AddUtterance
) -> None:
    both = [add_utterance(150.0), add_utterance(400.0)]
    assert stepping(scheduler, backlog=99) == []
    assert scheduler.next_due_s() == pytest.approx(0.03), "or when the codec has caught up"
    clock.now_ms += 31
    assert stepping(scheduler, backlog=99) == both


def test_prefill_is_limited_by_the_slack_of_the_decode_rows(scheduler: Scheduler, add_utterance: AddUtterance) -> None:
    """A step takes 10 ms and the codec twice 5, so 100 ms of lead leave a slack of 80.

    The budget for prefill is 40, and 10 more in one pass with decode rows, since that pass runs anyway.
    """
    decoding = add_utterance(100.0)
    others = [add_utterance(300.0, tokens=9, prefill=True) for _ in range(9)]
    assert stepping(scheduler) == [decoding, *others[:5]]
    starting = [add_utterance(tokens=9) for _ in range(9)]
    assert stepping(scheduler) == starting[:4]


def test_little_slack_allows_few_prefills(scheduler: Scheduler, add_utterance: AddUtterance) -> None:
    add_utterance(45.0)
    starting = [add_utterance(tokens=9) for _ in range(9)]
    assert stepping(scheduler) == starting[:2]


def test_without_slack_every_other_batch_prefills_one_row(
    scheduler: Scheduler, clock: Clock, add_utterance: AddUtterance
) -> None:
    dry = add_utterance(20.0)
    starting = {add_utterance(tokens=30) for _ in range(4)}
    positions = []
    for _ in range(6):
        batch = scheduler.schedule()
        positions.append(batch.positions)
        assert dry in [scheduler.running[row.slot] for row in batch.rows]
        finish(scheduler, batch)
        clock.now_ms += 80
    assert positions == [0, 31] * 3
    assert len([each for each in starting if each.segment]) == 3


def test_late_segment_is_prefilled_whatever_it_costs(scheduler: Scheduler, add_utterance: AddUtterance) -> None:
    both = [add_utterance(20.0), add_utterance(10.0, tokens=90, prefill=True)]
    assert stepping(scheduler) == both


def test_segment_with_lead_waits_for_the_slack_of_the_decode_rows(
    scheduler: Scheduler, add_utterance: AddUtterance
) -> None:
    """25 ms of lead leave a slack of 5; the prefill takes 31, less 10 for the pass that runs anyway."""
    least = add_utterance(25.0)
    add_utterance(450.0, tokens=30, prefill=True)
    assert stepping(scheduler) == [least]


def test_small_max_lead_is_served_at_half_of_it(scheduler: Scheduler, add_utterance: AddUtterance) -> None:
    frugal = add_utterance(50.0, max_lead_ms=80.0)
    assert not scheduler.schedule()
    assert scheduler.next_due_s() == pytest.approx(0.01)
    assert not frugal.buffer.awaiting_first_audio


def test_rows_carry_the_deadline_of_their_frame(
    scheduler: Scheduler, clock: Clock, add_utterance: AddUtterance
) -> None:
    clock.now_ms = 7000
    add_utterance(300.0), add_utterance(320.0)
    assert [row.due_s for row in scheduler.schedule().rows] == pytest.approx([7.3, 7.32])


def test_lowest_free_slot_is_assigned_first(scheduler: Scheduler, add_utterance: AddUtterance) -> None:
    first = add_utterance()
    add_utterance()
    first.move(Status.CANCELLED)
    scheduler.release()
    add_utterance()
    assert sorted(scheduler.running) == [0, 1]


def test_silence_takes_no_step_and_sets_a_timer(
    scheduler: Scheduler, clock: Clock, add_utterance: AddUtterance
) -> None:
    quiet = Utterance(VOICE, SAMPLING, playback=Playing(clock), max_lead_ms=400.0)
    quiet.add(Silence(20))
    scheduler.add(quiet)
    assert not scheduler.schedule()
    while quiet.silence_due:
        quiet.step_silence()
    assert quiet.produced_ms == 400
    assert scheduler.next_due_s() == pytest.approx(0.2), "when half of it is played"
    speaks = add_utterance(100.0)
    assert stepping(scheduler) == [speaks]


def open_segment(count: int, is_open: bool = True) -> Segment:
    said = tuple(Word("word", 5 * i, 5 * i + 4, "word") for i in range(count))
    return Segment("", (1,) * count, 1000, 0, said, tuple(range(count)), 2 * is_open)


@pytest.fixture
def add_growing(scheduler: Scheduler, clock: Clock) -> Callable[..., Utterance]:
    """Adds an utterance with an open segment of `count` words, `lead_ms` of lead and `grown` more words to come."""

    def make(lead_ms: float, count: int = 9, grown: int = 0, frames: int = 10, word: int = 0) -> Utterance:
        utterance = Utterance(VOICE, SAMPLING, playback=Playing(clock, 20 * FRAME_MS - lead_ms), max_lead_ms=1000.0)
        utterance.add(open_segment(count))
        scheduler.add(utterance)
        utterance.buffer._starting = False
        utterance.begin_segment()
        for _ in range(frames):
            utterance.step(is_eos=False)
        utterance.buffer.produced_frames = 20
        assert utterance.progress is not None
        utterance.progress.word = word
        if grown:
            utterance.grow(open_segment(count + grown))
        return utterance

    return make


def test_row_that_lacks_words_is_left_out_and_sets_no_timer(
    scheduler: Scheduler, add_growing: Callable[..., Utterance]
) -> None:
    add_growing(100.0, count=3, word=1)
    assert not scheduler.schedule()
    assert scheduler.next_due_s() is None


def test_extension_prefills_text_and_frames_behind_the_voice(
    scheduler: Scheduler, add_growing: Callable[..., Utterance]
) -> None:
    waiting = add_growing(200.0, count=3, word=1, grown=2)
    batch = scheduler.schedule()
    assert batch.rows[0].prefill == Prefill((1,) * 5, waiting.voice, fresh=False, open=True, frames=10)
    assert batch.positions == 5 + 1 + 10
    assert batch.rows[0].word_limit == WordLimit(tuple(range(5)), 1, 2)


def test_extension_that_can_wait_is_made_if_there_is_time_and_else_the_row_decodes(
    scheduler: Scheduler, add_growing: Callable[..., Utterance]
) -> None:
    first, second = (add_growing(lead_ms, count=19, grown=1) for lead_ms in (300.0, 400.0))
    batch = scheduler.schedule()
    assert [scheduler.running[row.slot] for row in batch.rows] == [first, second]
    assert [row.prefill is not None for row in batch.rows] == [True, False], "31 positions of 1 ms each, 40 ms at most"
    assert first.progress is not None
    assert first.progress.newest is first.progress.segment


def test_row_near_underrun_decodes_instead_of_extending_what_can_wait(
    scheduler: Scheduler, add_growing: Callable[..., Utterance]
) -> None:
    add_growing(100.0, grown=1)
    (row,) = scheduler.schedule().rows
    assert row.prefill is None


def test_closing_extension_leaves_no_limit(scheduler: Scheduler, add_growing: Callable[..., Utterance]) -> None:
    waiting = add_growing(200.0, count=3, word=1)
    waiting.grow(open_segment(3, is_open=False))
    (row,) = scheduler.schedule().rows
    assert row.prefill is not None
    assert not row.prefill.open
    assert row.word_limit is None


class Bookkeeping(RuleBasedStateMachine):
    """Utterances are added, extended, cancelled and ended at random while steps are under way and time passes."""

    def __init__(self) -> None:
        super().__init__()
        self.clock = Clock()
        self.scheduler = Scheduler(SLOTS, WAITING, now_s=self.clock.now_s)
        self.all: list[Utterance] = []
        self.released: list[Utterance] = []
        self.in_flight = Batch(())

    @rule(segments=st.integers(0, 2), may_queue=st.booleans())
    def add(self, segments: int, may_queue: bool) -> None:
        utterance = Utterance(VOICE, SAMPLING, may_queue=may_queue)
        for _ in range(segments):
            utterance.add(Segment("Yes.", (1,), 4, 0))
        try:
            self.scheduler.add(utterance)
        except Full:
            assert not may_queue or len(self.scheduler.admission.waiting) >= WAITING
            return
        self.all.append(utterance)

    @rule(data=st.data())
    def extend_or_end(self, data: st.DataObject) -> None:
        if open_utterances := [each for each in self.all if not each.over and not each.input_ended]:
            chosen = data.draw(st.sampled_from(open_utterances))
            part = data.draw(st.sampled_from([Segment("More.", (1, 2), 4, 0), Silence(1), Silence(3), None]))
            if part is not None:
                chosen.add(part)
            else:
                chosen.end()

    @rule(data=st.data(), is_open=st.booleans())
    def write_on(self, data: st.DataObject, is_open: bool) -> None:
        """Begin an open segment, or extend or close the last one."""
        if open_utterances := [each for each in self.all if not each.over and not each.input_ended]:
            chosen = data.draw(st.sampled_from(open_utterances))
            last = chosen._queued[-1] if chosen._queued else chosen.progress and chosen.progress.newest
            grows = isinstance(last, Segment) and last.open and (chosen._queued or not chosen.idle)
            count = len(last.words) + 1 if grows else 3  # type: ignore[union-attr]
            said = tuple(Word("word", 5 * i, 5 * i + 4, "word") for i in range(count))
            segment = Segment("", (1,) * count, 4, 0, said, tuple(range(count)), 2 * is_open)
            (chosen.grow if grows else chosen.add)(segment)

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
    def time_passes(self, passed_ms: float) -> None:
        self.clock.now_ms += passed_ms

    @rule()
    def commit(self) -> None:
        for row in self.in_flight.rows:
            utterance = self.scheduler.running[row.slot]  # a row in flight still has its slot
            if not utterance.over:
                utterance.step(is_eos=False)
        self.in_flight = Batch(())
        for utterance in self.scheduler.running.values():
            while utterance.silence_due:
                utterance.step_silence()
        for utterance, _ in self.scheduler.release():
            assert utterance not in self.released
            self.released.append(utterance)
            if not utterance.over:
                utterance.move(Status.FINISHED)

    @invariant()
    def each_utterance_is_running_waiting_or_released(self) -> None:
        running, waiting = list(self.scheduler.running.values()), list(self.scheduler.admission.waiting)
        assert sorted(map(id, running + waiting + self.released)) == sorted(map(id, self.all))
        assert sorted([*self.scheduler._free_slots, *self.scheduler.running]) == list(range(SLOTS))
        assert all(each.status is not Status.WAITING for each in running)
        assert self.scheduler.admission.load <= len(running)
        assert [self.scheduler.admission.queue_position(each) for each in waiting] == list(range(1, len(waiting) + 1))


Bookkeeping.TestCase.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
TestBookkeeping = Bookkeeping.TestCase

"""The engine: utterances in, frames out. `schedule`, `run` and `commit` make one step.

`run` belongs to one thread, everything else to another (the server's event loop). What passes between them, `Batch` and
`BatchOutput`, is frozen, so there are no locks. Only `commit` frees a slot, hence never while `run` writes to it. The
codec takes the frames of each slot in order, so it has finished a slot's last utterance before it begins the next.

A pause between segments takes no step: `commit` makes its frames, as many as the listener needs now.
"""

import time
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, replace

import numpy as np

from sayline_tts.engine.device import usable_cpus, uses_static_shapes
from sayline_tts.engine.execution.frame_queues import FrameJob
from sayline_tts.engine.execution.model_runner import BatchOutput, ModelRunner
from sayline_tts.engine.execution.profiling import load_or_profile
from sayline_tts.engine.guarding.guarded_segment import GuardedSegment, MadeFrame
from sayline_tts.engine.models.model import Model
from sayline_tts.engine.models.voice import Voice
from sayline_tts.engine.scheduling.cost_model import CostModel
from sayline_tts.engine.scheduling.load_limit import Supply
from sayline_tts.engine.scheduling.scheduler import Batch, Row, Scheduler
from sayline_tts.engine.scheduling.utterance import Status, Utterance
from sayline_tts.engine.segment import Segment, Silence
from sayline_tts.engine.timing.word_timestamps import TimestampFn, WordTimestamps, no_words

MIN_DELIVERED_FRAMES = 25  # between two observations: with fewer, the time goes to waking up rather than to frames
MAX_BACKLOG = 2.0  # frames waiting for the codec, for each utterance: with more, it falls behind


@dataclass(frozen=True, slots=True)
class FrameSpoken:
    """One more frame, which the codec may not have decoded yet.

    `audio` is float32 `[samples]` in [-1, 1], or the error that its decoding raised, or `FrameDropped` if the utterance
    was cancelled first. The futures of an utterance resolve in order: callbacks added to one with `add_done_callback`
    have run before the next is resolved.
    """

    utterance: Utterance
    audio: Future[np.ndarray]
    words: TimestampFn = no_words  # words that begin or end in it, if their timestamps were requested
    made: MadeFrame | None = None  # None: silence

    @property
    def pcm(self) -> np.ndarray:
        """Wait for the codec. Raises what decoding raised."""
        return self.audio.result()


@dataclass(frozen=True, slots=True)
class SegmentSpoken:
    """Follows the last frame of a segment."""

    utterance: Utterance
    segment: Segment
    start_ms: float
    end_ms: float
    words: TimestampFn = no_words  # words that no frame has reported
    made: MadeFrame | None = None  # what the last step made, if no frame of it is heard


@dataclass(frozen=True, slots=True)
class SilenceSpoken:
    """Follows the last frame of a pause."""

    utterance: Utterance
    silence: Silence


@dataclass(frozen=True, slots=True)
class UtteranceEnded:
    """The last event of an utterance, exactly one for each. `slot` is the slot that it had, if it had one."""

    utterance: Utterance
    status: Status
    slot: int | None


Event = FrameSpoken | SegmentSpoken | SilenceSpoken | UtteranceEnded


class Engine:
    """Speaks with one model. At most `slots` utterances have state in memory, `max_waiting` more may queue.

    `capacity`: most utterances that may have something to say at once; None: `slots`, and after `profile` as many as
    this machine can keep supplied. `on_progress` is called on a codec thread once the codec has caught up, after
    `schedule` left rows out because it was behind: schedule again then. `decode_in_processes`: decode in processes,
    forked now, if the platform can; worthwhile if other threads keep Python's global lock busy.

    It has more than 20 methods, because servers read queue, load and backlog of the engine from it.
    """

    def __init__(
        self, model: Model, slots: int, max_waiting: int = 0, capacity: int | None = None,
        now_s: Callable[[], float] = time.monotonic, decode_in_processes: bool = False,
    ) -> None:  # fmt: skip
        self._init_scheduling(model, slots, max_waiting, capacity, now_s)
        costs = self._costs
        self._runner = ModelRunner(
            model, slots, lambda rows: costs.codec(rows), lambda: self.on_progress(), now_s, decode_in_processes
        )

    def _init_scheduling(
        self, model: Model, slots: int, max_waiting: int, capacity: int | None, now_s: Callable[[], float]
    ) -> None:
        """Set up everything but the runner."""
        self.model, self._slots, self._costs, self._now_s = model, slots, CostModel(), now_s
        self.on_progress: Callable[[], None] = lambda: None
        self._scheduler = Scheduler(slots, max_waiting, capacity, self._costs, model.frame_ms, now_s)
        self._words = WordTimestamps(model.heads.lead_ms / model.frame_ms if model.heads else 0.0)
        self._guarded: dict[Utterance, GuardedSegment] = {}

    def read_heads_again(self) -> bool:
        """Time the words of texts to come by alignment heads that have been found meanwhile.

        Reads the weights if their hash is not known yet, which takes a second for large ones.
        False: none were found, or this device needs a new start for them.
        """
        model = replace(self.model, checkpoint=self.model.checkpoint.with_heads_read_again())
        if model.heads is None or not self._runner.set_heads(model.heads):
            return False
        self.model = model
        return True

    def profile(self) -> None:
        """Learn what steps cost here, from the cache or from seconds of real steps. Blocks; call no other method."""
        self._costs.update(load_or_profile(self.model, self._slots, self._runner))
        if self.model.device.type == "cpu":
            self._costs.cpus = usable_cpus()

    def observe_load(self, late_ms: float, frames: int, delivery_cpu_ms: float) -> None:
        """Adapt the capacity to what the whole process can do. Call it several times a second.

        `late_ms`: by which the caller's event loop is late. `frames` were delivered since the last call, which took
        `delivery_cpu_ms` of CPU time besides the engine's.
        """
        if frames >= MIN_DELIVERED_FRAMES:
            self._costs.observe_delivery(frames, delivery_cpu_ms)
        admission, load = self._scheduler.admission, self.load
        late = late_ms > self.model.frame_ms or self.codec_backlog > MAX_BACKLOG * max(load, 8)
        supply = Supply.BEHIND if late else admission.supply
        admission.load_limit.observe(self._now_s(), load, supply, admission.predicted_capacity)

    @property
    def capacity(self) -> int:
        """Most utterances that may have something to say at once."""
        return self._scheduler.admission.capacity

    @property
    def load(self) -> int:
        """Utterances that have something to say, or had a moment ago."""
        return self._scheduler.admission.load

    @property
    def slots(self) -> int:
        return self._slots

    @property
    def slots_used(self) -> int:
        return len(self._scheduler.running)

    @property
    def codec_backlog(self) -> int:
        """Frames that are not decoded yet."""
        return self._runner.decode_queue.backlog

    @property
    def can_extend(self) -> bool:
        """Whether segments may be open, that is grow while they are spoken. Static-shape steps cannot extend a text."""
        return not uses_static_shapes(self.model.device)

    @property
    def codec_workers(self) -> int:
        """Workers of the codec at full speed: all, unless a process has died and cannot be replaced."""
        return self._runner.decode_queue.workers

    @property
    def codec_restarts(self) -> int:
        """Processes of the codec that have died and were replaced."""
        return self._runner.decode_queue.restarts

    def check_codec(self) -> None:
        """Replace idle processes of the codec that have died. Call it now and then."""
        self._runner.decode_queue.check_workers()

    def add(self, utterance: Utterance) -> None:
        """Give `utterance` a slot, or a place in the queue if `capacity` is reached and `utterance.may_queue`.

        Raises `Full`, whose `retry_after_ms` estimates when there is room. An utterance with a slot never queues again:
        while it has no text it does not count as load, and when text comes it is spoken.
        """
        self._scheduler.add(utterance)

    def check_room(self) -> None:
        """Raise `Full` if an utterance that may not queue would be rejected now."""
        self._scheduler.admission.check_room()

    @property
    def retry_after_ms(self) -> float:
        """Estimate of when there is room for one utterance more."""
        return self._scheduler.admission.retry_after_ms()

    def queue_position(self, utterance: Utterance) -> int | None:
        """Return the position in the queue, 1 for the next; None if not queued.

        Changes with `add`, `schedule` and `commit`.
        """
        return self._scheduler.admission.queue_position(utterance)

    def reclaimable(self) -> list[Utterance]:
        """Return utterances that have long had nothing to say and hold the slots that others wait for."""
        return self._scheduler.admission.reclaimable()

    def cancel(self, utterance: Utterance) -> None:
        """Stop `utterance`: no more frames of it; the next commit frees its slot. Idempotent."""
        if not utterance.over:
            utterance.move(Status.CANCELLED)

    def schedule(self) -> Batch:
        """Return the rows to step now; an empty batch is false.

        After an empty batch call again after `next_due_s`, or when something has changed: text, `end` or `cancel` of an
        utterance, audio sent, a playback report, `on_progress`.
        """
        queue = self._runner.decode_queue
        while True:
            batch = self._scheduler.schedule(queue.backlog)
            throttled_until = self._scheduler.throttled_until
            if batch or throttled_until is None or not queue.caught_up(throttled_until):
                return batch

    def next_due_s(self) -> float | None:
        """Return the seconds until the clock alone makes a row due; None if it never does. After an empty batch."""
        return self._scheduler.next_due_s()

    @property
    def throttled(self) -> bool:
        """Whether the last `schedule` left rows out because the codec is behind. `on_progress` ends that."""
        return self._scheduler.throttled_until is not None

    def run(self, batch: Batch) -> BatchOutput:
        """Make the latents of one step; their audio follows later. Blocks; call on the engine's thread."""
        return self._runner.run(batch)

    def commit(self, batch: Batch, output: BatchOutput | None) -> list[Event]:
        """Account for what `run` made of `batch` (None for an empty one) and return what happened."""
        events: list[Event] = []
        if output is not None:
            self._observe_costs(batch, output)
            for index, row in enumerate(batch.rows):
                utterance = self._scheduler.running[row.slot]
                if not utterance.over:  # else cancelled while the step ran
                    events += self._step(row, utterance, output, index)
        for slot, utterance in self._scheduler.running.items():
            events += self._release_held(slot, utterance)
            events += self._make_silence(slot, utterance)
        return events + self._release()

    def fail(self, batch: Batch) -> list[Event]:
        """End the utterances of `batch`, whose step raised; all others continue."""
        for row in batch.rows:
            utterance = self._scheduler.running[row.slot]
            if not utterance.over:
                utterance.move(Status.FAILED)
        return self._release()

    def snapshot(self, ended: UtteranceEnded) -> Voice:
        """Return the model's state after an utterance that has just ended, to continue from. Before the next `run`."""
        assert ended.slot is not None, "the utterance never had a slot"
        return self._runner.snapshot(ended.slot)

    def close(self) -> None:
        """Decode what is queued, then end the codec's threads. After the last `run`."""
        self._runner.close()

    def _observe_costs(self, batch: Batch, output: BatchOutput) -> None:
        """Correct the cost model by this step. Mixed batches teach nothing."""
        if not batch.positions:
            self._costs.flow_lm.observe(len(batch.rows), output.cost_ms)
        elif not batch.decode_rows:
            self._costs.prefill.observe(batch.positions, output.cost_ms)
        for rows, cost_ms in self._runner.decode_queue.costs():
            self._costs.codec.observe(rows, cost_ms)

    def _step(self, row: Row, utterance: Utterance, output: BatchOutput, index: int) -> list[Event]:
        """Account for the step of one row, whose results are at `index`. A frame that is held back is no event yet."""
        is_eos, attention = output.is_eos[index], output.attention[index]
        kept, _ = utterance.step(is_eos, attention, row.held, given=row.given is not None)
        progress = utterance.progress
        assert progress is not None, "a step without a segment"
        if progress.stopped:
            return []
        made = MadeFrame(output.latents[index], is_eos, kept, attention)
        if utterance.guarded and attention is not None:
            self._guard(utterance).take(made, row.held)
        if row.held or row.given is not None:  # a given frame has been heard already, and more follow
            return []
        return self._spoken(utterance, output.audio[index] if kept else None, made)

    def _spoken(
        self,
        utterance: Utterance,
        audio: Future[np.ndarray] | None,
        made: MadeFrame,
        more_held: bool = False,
    ) -> list[Event]:
        """Return the events of a step whose frame is final. `more_held`: later frames of the segment are held back."""
        progress = utterance.progress
        assert progress is not None, "a step without a segment"
        words = self._words.step(utterance, progress, made.attention, more_held)
        if progress.segment.open and made.attention is None:
            progress.word = self._words.estimated_word(utterance, progress)
        events: list[Event] = []
        unheard: MadeFrame | None = made
        if made.is_heard:
            assert audio is not None, "runner and utterance disagree about a frame"
            events.append(FrameSpoken(utterance, audio, words, made))
            words, unheard = no_words, None
        if progress.over and not more_held:
            end_ms = utterance.produced_ms
            events.append(SegmentSpoken(utterance, progress.segment, progress.start_ms, end_ms, words, unheard))
        return events

    def _guard(self, utterance: Utterance) -> GuardedSegment:
        """Return the guard of the segment that is being spoken."""
        guarded = self._guarded.get(utterance)
        if guarded is None or guarded.progress is not utterance.progress:
            guarded = self._guarded[utterance] = GuardedSegment(utterance)
        return guarded

    def _release_held(self, slot: int, utterance: Utterance) -> list[Event]:
        """Give the codec the frames that need not or cannot be held back any longer."""
        events: list[Event] = []
        if utterance in self._guarded and not utterance.over:
            for frame, is_last in self._guarded[utterance].release():
                audio = None
                if frame.is_heard:
                    due_s = self._now_s() + (utterance.lead_ms - utterance.frame_ms) / 1000
                    audio = self._runner.decode(FrameJob(slot, False, due_s), frame.latent)
                events += self._spoken(utterance, audio, frame, more_held=not is_last)
        return events

    def _make_silence(self, slot: int, utterance: Utterance) -> list[Event]:
        """Make as much of a pause as is due now."""
        events: list[Event] = []
        while utterance.silence_due:
            spoken = utterance.step_silence()
            events.append(FrameSpoken(utterance, self._runner.decode_queue.put_silence(slot)))
            if spoken:
                events.append(SilenceSpoken(utterance, spoken))
        return events

    def _release(self) -> list[Event]:
        """Free the slots of all utterances that are over or complete."""
        events: list[Event] = []
        for utterance, slot in self._scheduler.release():
            if not utterance.over:
                utterance.move(Status.FINISHED)
            if slot is not None:
                self._runner.decode_queue.next_utterance(slot, drop=utterance.status is Status.CANCELLED)
            self._words.discard(utterance)
            self._guarded.pop(utterance, None)
            events.append(UtteranceEnded(utterance, utterance.status, slot))
        return events

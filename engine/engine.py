"""The engine: utterances in, frames out. `schedule`, `run` and `commit` make one step.

`run` belongs to one thread, all else to its owner's (the server's event loop); what passes between them (`Batch`,
`Output`) is frozen, so there are no locks. A slot is freed by `commit` only, hence never while `run` writes to it; the
codec takes each slot's frames in order, so it is done with a slot's old speech before it begins the new.

A pause between segments takes no step: `commit` makes it, as much as its listener needs now.
"""

import time
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass

import numpy as np

from sayline_tts.engine.execution.model_runner import Output, Runner
from sayline_tts.engine.execution.profiling import calibrated
from sayline_tts.engine.execution.relay import Relay, silence
from sayline_tts.engine.models.model import Model
from sayline_tts.engine.models.voice import Voice
from sayline_tts.engine.scheduling.cost_model import Costs
from sayline_tts.engine.scheduling.scheduler import Batch, Scheduler
from sayline_tts.engine.scheduling.utterance import Status, Utterance
from sayline_tts.engine.segment import Segment, Silence
from sayline_tts.engine.timing.word_timestamps import Telling, WordTeller, nothing


@dataclass(frozen=True, slots=True)
class FrameSpoken:
    """One frame more. Its sound may still be on its way through the codec.

    `sound` is float32 `[samples]` in [-1, 1]; or the error that its decoding raised; or `codec.Dropped`, where the
    utterance was cancelled before it was decoded. The sounds of an utterance come in order: what is hung on one
    (`add_done_callback`) is done before the next is there.
    """

    utterance: Utterance
    sound: Future[np.ndarray]
    words: Telling = nothing  # those that begin or are over in it, where somebody asked

    @property
    def pcm(self) -> np.ndarray:
        """Waits for the codec; raises what it raised."""
        return self.sound.result()


@dataclass(frozen=True, slots=True)
class SegmentSpoken:
    """After the last frame of its segment."""

    utterance: Utterance
    segment: Segment
    start_ms: float
    end_ms: float
    words: Telling = nothing  # that no frame has told


@dataclass(frozen=True, slots=True)
class SilenceSpoken:
    """After the last frame of a pause."""

    utterance: Utterance
    silence: Silence


@dataclass(frozen=True, slots=True)
class UtteranceEnded:
    """Exactly one for each utterance, its last event. `slot` is the one it had, if it had one."""

    utterance: Utterance
    status: Status
    slot: int | None


Event = FrameSpoken | SegmentSpoken | SilenceSpoken | UtteranceEnded


class Engine:
    """Speaks with one model: `slots` utterances at most have memory, `max_waiting` more may wait.

    `capacity` is how many of them may have something to say at once; None: as many as there are slots, and after
    `calibrate` as many as this machine can keep supplied. `on_progress` is called from threads of the codec, when
    `schedule` left rows out because the codec was behind and it is so no more: then schedule again. `apart`: decode in
    processes of their own, forked now, where that is possible; for whom Python's lock is what limits.
    """

    def __init__(
        self, model: Model, slots: int, max_waiting: int = 0, capacity: int | None = None,
        now_s: Callable[[], float] = time.monotonic, apart: bool = False,
    ) -> None:  # fmt: skip
        self._books(model, slots, max_waiting, capacity, now_s)
        costs = self._costs
        self._runner = Runner(model, slots, lambda rows: costs.group(rows), lambda: self.on_progress(), now_s, apart)

    def _books(
        self, model: Model, slots: int, max_waiting: int, capacity: int | None, now_s: Callable[[], float]
    ) -> None:
        """All but the tensors."""
        self.model, self._slots, self._costs = model, slots, Costs()
        self.on_progress: Callable[[], None] = lambda: None
        self._scheduler = Scheduler(slots, max_waiting, capacity, self._costs, model.frame_ms, now_s)
        self._silence = silence(model.frame_samples)
        self._relays: dict[Utterance, Relay] = {}  # of those that have begun
        self._words = WordTeller(model.heads.lead_ms / model.frame_ms if model.heads else 0.0)

    def calibrate(self) -> None:
        """Learn what steps cost here, from the disk or from seconds of real ones. Blocks; nobody else may step."""
        self._costs.take(calibrated(self.model, self._slots, self._runner))

    @property
    def capacity(self) -> int:
        """How many may have something to say at once."""
        return self._scheduler.admission.capacity

    @property
    def load(self) -> int:
        """How many have, or had a moment ago."""
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
        return self._runner.codec.backlog

    def add(self, utterance: Utterance) -> None:
        """Give it a slot, or, where `capacity` is reached and `utterance.waits`, a place in the queue.

        Raises `Full`, which knows when to come back: `retry_after_ms`. Who has a slot is not asked again: while it has
        no text it does not count, and when text comes it speaks.
        """
        self._scheduler.add(utterance)

    def place(self, utterance: Utterance) -> int | None:
        """In the queue: 1 is next. None: it does not wait. Changes with `add`, `schedule` and `commit`."""
        return self._scheduler.admission.place(utterance)

    def cancel(self, utterance: Utterance) -> None:
        """No frame of it comes out any more; its slot is freed by the next commit. Twice is harmless."""
        if not utterance.over:
            utterance.move(Status.CANCELLED)

    def schedule(self) -> Batch:
        """Rows to step now; an empty batch is false. Then look again after `next_due_s`, or when something changed.

        Changes are: text, `end` and `cancel` of an utterance, audio sent, a report of what was played, `on_progress`.
        """
        codec = self._runner.codec
        while True:
            batch = self._scheduler.schedule(codec.backlog)
            held = self._scheduler.held_frames
            if batch or held is None or not codec.follows(held):
                return batch

    def next_due_s(self) -> float | None:
        """Seconds until the clock alone makes somebody due. None: only a change does. After an empty `schedule`."""
        return self._scheduler.next_due_s()

    @property
    def held(self) -> bool:
        """The last `schedule` left rows out because the codec is behind: `on_progress` says when to try again."""
        return self._scheduler.held_frames is not None

    def run(self, batch: Batch) -> Output:
        """The engine thread's part: blocks for the latents of one step; their sound comes later."""
        return self._runner.run(batch)

    def commit(self, batch: Batch, output: Output | None) -> list[Event]:
        """Take in what `run` made of `batch` (None for an empty one) and say what happened."""
        events: list[Event] = []
        if output is not None:
            self._learn(batch, output)
            said = zip(batch.rows, output.is_eos, output.sounds, output.attention, strict=True)
            for row, is_eos, sound, attention in said:
                utterance = self._scheduler.running[row.slot]
                if not utterance.over:
                    events += self._step(utterance, is_eos, sound, attention)
                elif sound is not None:  # cancelled while the step ran
                    self._runner.codec.drop(row.slot, {sound})
        for utterance in self._scheduler.running.values():
            events += self._be_silent(utterance)
        return events + self._release()

    def fail(self, batch: Batch) -> list[Event]:
        """The step of `batch` raised: its utterances end, everybody else goes on."""
        for row in batch.rows:
            utterance = self._scheduler.running[row.slot]
            if not utterance.over:
                utterance.move(Status.FAILED)
        return self._release()

    def snapshot(self, ended: UtteranceEnded) -> Voice:
        """What the model remembers of an utterance that has just ended, to go on from. Before the next `run`."""
        assert ended.slot is not None, "it never ran"
        return self._runner.snapshot(ended.slot)

    def close(self) -> None:
        """Let the codec finish, and its threads end. After the last `run`."""
        self._runner.close()

    def _learn(self, batch: Batch, output: Output) -> None:
        """Correct what steps cost by what these did."""
        if not batch.positions:
            self._costs.flow.saw(len(batch.rows), output.cost_ms)
        elif not batch.staying:
            self._costs.join.saw(batch.positions, output.cost_ms)
        for rows, cost_ms in self._runner.codec.costs():
            self._costs.group.saw(rows, cost_ms)

    def _step(
        self, utterance: Utterance, is_eos: bool, sound: Future[np.ndarray] | None, attention: np.ndarray | None
    ) -> list[Event]:
        segment, start_ms = utterance.segment, utterance.segment_start_ms
        assert segment is not None, "a step without a segment"
        kept, spoken = utterance.step(is_eos)
        words = self._words.step(utterance, segment, start_ms, attention)
        events: list[Event] = []
        if kept:
            assert sound is not None, "runner and utterance disagree about a frame"
            events.append(FrameSpoken(utterance, self._relay(utterance).put(sound), words))
            words = nothing
        if spoken:
            events.append(SegmentSpoken(utterance, spoken, start_ms, utterance.produced_ms, words))
        return events

    def _be_silent(self, utterance: Utterance) -> list[Event]:
        """As much of a pause as is needed now. No network hears of it."""
        events: list[Event] = []
        while utterance.silent:
            over = utterance.be_silent()
            events.append(FrameSpoken(utterance, self._relay(utterance).put(self._silence)))
            if over:
                events.append(SilenceSpoken(utterance, over))
        return events

    def _relay(self, utterance: Utterance) -> Relay:
        return self._relays.setdefault(utterance, Relay())

    def _release(self) -> list[Event]:
        events: list[Event] = []
        for utterance, slot in self._scheduler.release():
            if not utterance.over:
                utterance.move(Status.FINISHED)
            relay = self._relays.pop(utterance, None)
            if slot is not None and relay is not None and utterance.status is Status.CANCELLED:
                self._runner.codec.drop(slot, relay.waiting)
            self._words.forget(utterance)
            events.append(UtteranceEnded(utterance, utterance.status, slot))
        return events

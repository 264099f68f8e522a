"""The engine: utterances in, frames out. `schedule`, `run` and `commit` make one step.

`run` belongs to one thread, all else to its owner's (the server's event loop); what passes between them (`Batch`,
`Output`) is frozen, so there are no locks. A slot is freed by `commit` only, hence never while `run` writes to it; the
codec, on its own thread, takes the steps in order, so it is done with a slot's old speech before it begins the new.
"""

from concurrent.futures import Future
from dataclasses import dataclass

import numpy as np

from engine.model import Model
from engine.runner import Output, Runner
from engine.scheduler import Batch, Scheduler
from engine.utterance import Segment, Status, Utterance
from engine.voice import Voice


@dataclass(frozen=True, slots=True)
class FrameSpoken:
    """One frame more. Its sound may still be on its way through the codec."""

    utterance: Utterance
    sound: Future[list[np.ndarray]]  # of all frames of its step
    place: int  # in it

    @property
    def pcm(self) -> np.ndarray:
        """float32 `[samples]` in [-1, 1]. Waits for the codec; raises what it raised."""
        return self.sound.result()[self.place]


@dataclass(frozen=True, slots=True)
class SegmentSpoken:
    """After the last frame of its segment."""

    utterance: Utterance
    segment: Segment
    start_ms: float
    end_ms: float


@dataclass(frozen=True, slots=True)
class UtteranceEnded:
    """Exactly one for each utterance, its last event. `slot` is the one it had, if it had one."""

    utterance: Utterance
    status: Status
    slot: int | None


Event = FrameSpoken | SegmentSpoken | UtteranceEnded


class Engine:
    """Speaks with one model for at most `slots` utterances at once; `max_waiting` more may wait."""

    def __init__(self, model: Model, slots: int, max_waiting: int = 0) -> None:
        self.model = model
        self._scheduler = Scheduler(slots, max_waiting)
        self._runner = Runner(model)

    def add(self, utterance: Utterance) -> None:
        """Raises `Full` when no slot is free and the queue is full."""
        self._scheduler.add(utterance)

    def cancel(self, utterance: Utterance) -> None:
        """No frame of it comes out any more; its slot is freed by the next commit. Twice is harmless."""
        if not utterance.over:
            utterance.move(Status.CANCELLED)

    def schedule(self) -> Batch:
        """Rows that can step now; an empty batch is false."""
        return self._scheduler.schedule()

    def run(self, batch: Batch) -> Output:
        """The engine thread's part: blocks for the latents of one step; their sound comes later."""
        return self._runner.run(batch)

    def commit(self, batch: Batch, output: Output | None) -> list[Event]:
        """Take in what `run` made of `batch` (None for an empty one) and say what happened."""
        events: list[Event] = []
        if output is not None:
            places = {row: place for place, row in enumerate(output.kept)}
            for index, (row, is_eos) in enumerate(zip(batch.rows, output.is_eos, strict=True)):
                events += self._step(self._scheduler.running[row.slot], is_eos, output.sound, places.get(index))
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
        """Let the codec finish, and its thread end. After the last `run`."""
        self._runner.close()

    def _step(
        self, utterance: Utterance, is_eos: bool, sound: Future[list[np.ndarray]], place: int | None
    ) -> list[Event]:
        if utterance.over:  # cancelled while the step ran
            return []
        start_ms = utterance.segment_start_ms
        kept, spoken = utterance.step(is_eos)
        events: list[Event] = []
        if kept:
            assert place is not None, "runner and utterance disagree about a frame"
            events.append(FrameSpoken(utterance, sound, place))
        if spoken:
            events.append(SegmentSpoken(utterance, spoken, start_ms, utterance.produced_ms))
        return events

    def _release(self) -> list[Event]:
        events: list[Event] = []
        for utterance, slot in self._scheduler.release():
            if not utterance.over:
                utterance.move(Status.FINISHED)
            events.append(UtteranceEnded(utterance, utterance.status, slot))
        return events

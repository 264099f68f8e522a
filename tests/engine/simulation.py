"""A machine of two cores that is a clock and some sums: the real books, FlowLM and codec only in what they cost.

FlowLM's thread goes before the codec's two, as in the server. Everything happens at a moment that follows from what
was before, so a simulation gives the same every time.
"""

import heapq
import math
from collections import deque
from collections.abc import Callable, Collection, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from itertools import count
from types import SimpleNamespace
from typing import cast

import numpy as np
import torch

from sayline_tts.engine.engine import Engine, Event, FrameSpoken, UtteranceEnded
from sayline_tts.engine.errors import Full
from sayline_tts.engine.execution.decode_queue import Cue, first_group
from sayline_tts.engine.execution.model_runner import Output, Runner
from sayline_tts.engine.models.model import Model
from sayline_tts.engine.models.voice import Voice
from sayline_tts.engine.scheduling.cost_model import Costs, Curve
from sayline_tts.engine.scheduling.scheduler import Batch
from sayline_tts.engine.scheduling.utterance import Utterance
from sayline_tts.engine.segment import Sampling, Segment, Silence

CORES, CODEC_THREADS = 2, 2
FRAME_MS = 80.0
VOICE = Voice(torch.zeros(1, 1, 1, 2), torch.zeros(1, 1, 1, 2))
SOUND = np.ones(1, np.float32)
# T(N) = 0.71 N / E * 1000 + 0.23 N + 8.2 ms on two cores, E = 600: so much CPU time, a quarter of each row's FlowLM's.
ROW_CPU_MS = CORES * (0.71 / 600 * 1000 + 0.23)


def line(base_ms: float, each_ms: float) -> Curve:
    return Curve([(1, base_ms + each_ms), (100, base_ms + 100 * each_ms)])


def costs_of(slowness: float = 1.0) -> Costs:
    each_ms = ROW_CPU_MS * slowness
    return Costs(
        flow=line(8.2, each_ms / 4),
        join=line(8.2, each_ms / 6),
        group=Curve([(1, each_ms * 3 / 4), (8, 8 * each_ms * 3 / 4)]),
        step=line(8.2, each_ms / CORES),
    )


@dataclass(eq=False)
class Listener:
    """Plays from the first frame on, without a pause; counts what came too late."""

    came_ms: float
    now_ms: Callable[[], float]
    first_ms: float = math.nan
    frames: int = 0
    dry_ms: float = 0.0
    stalls: int = 0
    silent: list[bool] = field(default_factory=list)  # of each frame
    most_ahead_ms: float = 0.0
    ended: bool = False

    @property
    def waited_ms(self) -> float:
        return self.first_ms - self.came_ms

    def played_ms(self) -> float:
        if not self.frames:
            return 0.0
        return min(self.frames * FRAME_MS, self.now_ms() - self.first_ms - self.dry_ms)

    def hear(self, sound: Future[np.ndarray]) -> None:
        self.silent.append(not sound.result().any())
        now_ms = self.now_ms()
        if not self.frames:
            self.first_ms = now_ms
        late_ms = now_ms - (self.first_ms + self.dry_ms + self.frames * FRAME_MS)
        if late_ms > 1e-6:
            self.stalls, self.dry_ms = self.stalls + 1, self.dry_ms + late_ms
        self.frames += 1
        self.most_ahead_ms = max(self.most_ahead_ms, self.frames * FRAME_MS - self.played_ms())


@dataclass(eq=False)
class Job:
    """Work on a core; `done` when so much CPU time was spent."""

    left_ms: float
    done: Callable[[], None]


@dataclass
class Codec:
    """The queue of `sayline_tts.engine.execution.decode_queue`, with the clock for threads."""

    machine: "Machine"
    waiting: dict[int, deque[tuple[Cue, Future[np.ndarray]]]] = field(default_factory=dict)
    busy: set[int] = field(default_factory=set)

    @property
    def backlog(self) -> int:
        return len(self.busy) + sum(map(len, self.waiting.values()))

    def follows(self, frames: int) -> bool:
        return self.backlog <= frames  # the machine looks again after each event anyway

    def drop(self, slot: int, sounds: Collection[Future[np.ndarray]]) -> None:
        if left := deque(each for each in self.waiting.pop(slot, ()) if each[1] not in sounds):
            self.waiting[slot] = left

    def costs(self) -> list[tuple[int, float]]:
        return []

    def put(self, cue: Cue) -> Future[np.ndarray]:
        sound: Future[np.ndarray] = Future()
        self.waiting.setdefault(cue.slot, deque()).append((cue, sound))
        return sound

    def take(self) -> Job | None:
        heads = [frames[0][0] for slot, frames in self.waiting.items() if slot not in self.busy]
        chosen = first_group(heads, self.machine.now_s(), CODEC_THREADS, self.machine.truth.group)
        group = [self.waiting[cue.slot].popleft() for cue in chosen]
        self.waiting = {slot: frames for slot, frames in self.waiting.items() if frames}
        self.busy |= {cue.slot for cue, _ in group}

        def done() -> None:
            self.busy -= {cue.slot for cue, _ in group}
            for _, sound in group:
                sound.set_result(SOUND)

        return Job(self.machine.truth.group(len(group)), done) if group else None


class Machine(Engine):
    """`truth` is what things cost; the engine knows `costs`."""

    def __init__(self, truth: Costs, slots: int = 256, max_waiting: int = 0, capacity: int | None = None) -> None:
        self.now_ms = 0.0
        model = SimpleNamespace(frame_ms=FRAME_MS, frame_samples=1, heads=None)
        self._books(cast(Model, model), slots, max_waiting, capacity, self.now_s)
        self._costs.take(truth)
        self.truth, self.codec = truth, Codec(self)
        self._runner = cast(Runner, SimpleNamespace(codec=self.codec))
        self.listeners: dict[Utterance, Listener] = {}
        self.everybody: list[Listener] = []
        self.steps: list[tuple[float, Batch]] = []
        self.full: list[float] = []  # retry_after_ms
        self._flow: Job | None = None
        self._decoding: list[Job] = []
        self._coming: list[tuple[float, int, Callable[[], object]]] = []
        self._number = count()

    def now_s(self) -> float:
        return self.now_ms / 1000

    def at(self, when_ms: float, do: Callable[[], object]) -> None:
        heapq.heappush(self._coming, (when_ms, next(self._number), do))

    def stall(self, cpu_ms: float) -> None:
        """Something else takes FlowLM's core."""
        before = self._flow
        self._flow = Job(cpu_ms + (before.left_ms if before else 0.0), before.done if before else lambda: None)

    def join(self, frames: int, segment_frames: int = 60, tokens: int = 40, **more: bool) -> Listener:
        """Somebody who listens to so much speech."""
        whole, rest = divmod(frames, segment_frames)
        lengths = [segment_frames] * whole + [rest] * (rest > 0)
        return self.listen([Segment("", (0,) * tokens, length, 0) for length in lengths], **more)

    def listen(self, parts: Sequence[Segment | Silence], **more: bool) -> Listener:
        listener = Listener(self.now_ms, lambda: self.now_ms)
        utterance = Utterance(
            VOICE,
            Sampling(0.3, None, 0.0, 1, 0),
            frame_ms=FRAME_MS,
            played_ms=listener.played_ms,
            sent_ms=lambda: listener.frames * FRAME_MS,
            max_lead_ms=1000.0,
            **more,
        )
        for part in parts:
            utterance.add(part)
        utterance.end()
        try:
            self.add(utterance)
        except Full as full:
            self.full.append(full.retry_after_ms)
            return listener
        self.listeners[utterance] = listener
        self.everybody.append(listener)
        return listener

    def run_until(self, end_ms: float) -> None:
        self.at(end_ms, lambda: None)
        while self.now_ms < end_ms:
            self._begin_work()
            self._advance()

    def _begin_work(self) -> None:
        while len(self._decoding) < CODEC_THREADS and (job := self.codec.take()):
            self._decoding.append(job)
        while self._flow is None:
            if batch := self.schedule():
                self.steps.append((self.now_ms, batch))
                self._flow = self._job(batch)
            elif not self._take_in(self.commit(batch, None)):
                if (due_s := self.next_due_s()) is not None:
                    self.at(self.now_ms + 1000 * due_s, lambda: None)
                return

    def _advance(self) -> None:
        """To the next moment at which something is done, or comes."""
        share = min(1.0, (CORES - (self._flow is not None)) / max(1, len(self._decoding)))
        ends = [job.left_ms / share for job in self._decoding] + [self._flow.left_ms if self._flow else math.inf]
        passed_ms = max(0.0, min(min(ends), self._coming[0][0] - self.now_ms))
        self.now_ms += passed_ms
        for job in self._decoding:
            job.left_ms -= passed_ms * share
        if self._flow is not None:
            self._flow.left_ms -= passed_ms
            if self._flow.left_ms <= 1e-9:
                job, self._flow = self._flow, None
                job.done()
        for job in [job for job in self._decoding if job.left_ms <= 1e-9]:
            self._decoding.remove(job)
            job.done()
        while self._coming and self._coming[0][0] <= self.now_ms + 1e-9:
            heapq.heappop(self._coming)[2]()

    def _job(self, batch: Batch) -> Job:
        staying, positions = batch.staying, batch.positions
        cost_ms = self.truth.flow(staying) if staying else 0.0
        cost_ms += self.truth.prefill_ms(positions, staying) if positions else 0.0
        return Job(cost_ms, lambda: self._stepped(batch, cost_ms))

    def _stepped(self, batch: Batch, cost_ms: float) -> None:
        sounds: list[Future[np.ndarray] | None] = [
            self.codec.put(Cue(row.slot, row.fresh, row.due_s)) for row in batch.rows
        ]
        output = Output(torch.zeros(0), [False] * len(sounds), sounds, [None] * len(sounds), cost_ms)
        self._take_in(self.commit(batch, output))

    def _take_in(self, events: list[Event]) -> bool:
        """Was there any?"""
        for event in events:
            match event:
                case FrameSpoken(utterance=utterance, sound=sound):
                    sound.add_done_callback(self.listeners[utterance].hear)
                case UtteranceEnded(utterance=utterance):
                    self.listeners[utterance].ended = True
        return bool(events)

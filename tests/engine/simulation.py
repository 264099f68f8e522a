"""Discrete-event simulation of a server on two cores: real scheduling, with costs in place of FlowLM and the codec.

FlowLM's thread has priority over the codec's two, as in the server. A simulation is deterministic.
"""

import heapq
import math
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from itertools import count
from types import SimpleNamespace
from typing import cast

import numpy as np
import torch

from sayline_tts.engine.engine import Engine, Event, FrameSpoken, UtteranceEnded
from sayline_tts.engine.errors import Full
from sayline_tts.engine.execution.decode_queue import next_group, silent_frame
from sayline_tts.engine.execution.frame_queues import FrameJob, FrameQueues
from sayline_tts.engine.execution.model_runner import BatchOutput, ModelRunner
from sayline_tts.engine.models.model import Model
from sayline_tts.engine.models.voice import Voice
from sayline_tts.engine.scheduling.cost_model import CostCurve, CostModel
from sayline_tts.engine.scheduling.scheduler import Batch
from sayline_tts.engine.scheduling.utterance import Utterance
from sayline_tts.engine.segment import Sampling, Segment, Silence

CORES, CODEC_THREADS = 2, 2
FRAME_MS = 80.0
VOICE = Voice(torch.zeros(1, 1, 1, 2), torch.zeros(1, 1, 1, 2))
SPEECH = np.ones(1, np.float32)
# A step of N rows takes 0.71 N / E * 1000 + 0.23 N + 8.2 ms on two cores, E = 600. FlowLM has a quarter of each row's.
ROW_CPU_MS = CORES * (0.71 / 600 * 1000 + 0.23)


def line(base_ms: float, each_ms: float) -> CostCurve:
    return CostCurve([(1, base_ms + each_ms), (100, base_ms + 100 * each_ms)])


def costs_of(slowness: float = 1.0) -> CostModel:
    each_ms = ROW_CPU_MS * slowness
    return CostModel(
        flow_lm=line(8.2, each_ms / 4),
        prefill=line(8.2, each_ms / 6),
        codec=CostCurve([(1, each_ms * 3 / 4), (8, 8 * each_ms * 3 / 4)]),
        step=line(8.2, each_ms / CORES),
    )


@dataclass(eq=False)
class Listener:
    """Plays without a pause from the first frame on; counts frames that come too late."""

    joined_ms: float
    now_ms: Callable[[], float]
    first_ms: float = math.nan
    frames: int = 0
    underrun_ms: float = 0.0
    stalls: int = 0
    silent: list[bool] = field(default_factory=list)  # for each frame
    max_lead_ms: float = 0.0
    ended: bool = False

    @property
    def waited_ms(self) -> float:
        return self.first_ms - self.joined_ms

    @property
    def sent_ms(self) -> float:
        return self.frames * FRAME_MS

    @property
    def played_ms(self) -> float:
        if not self.frames:
            return 0.0
        return min(self.frames * FRAME_MS, self.now_ms() - self.first_ms - self.underrun_ms)

    def on_audio(self, audio: Future[np.ndarray]) -> None:
        self.silent.append(not audio.result().any())
        now_ms = self.now_ms()
        if not self.frames:
            self.first_ms = now_ms
        late_ms = now_ms - (self.first_ms + self.underrun_ms + self.frames * FRAME_MS)
        if late_ms > 1e-6:
            self.stalls, self.underrun_ms = self.stalls + 1, self.underrun_ms + late_ms
        self.frames += 1
        self.max_lead_ms = max(self.max_lead_ms, self.frames * FRAME_MS - self.played_ms)


@dataclass(eq=False)
class Job:
    """Work on a core; `done` is called when `left_ms` of CPU time are spent."""

    left_ms: float
    done: Callable[[], None]


class SimulatedDecodeQueue:
    """The decode queue with its real order of frames and choice of groups, and simulated time instead of threads."""

    def __init__(self, machine: "Machine") -> None:
        self._machine, self._queues = machine, FrameQueues()
        self._silence = silent_frame(1)

    @property
    def backlog(self) -> int:
        return self._queues.backlog

    def caught_up(self, frames: int) -> bool:
        return self.backlog <= frames  # the machine schedules again after each event anyway

    def next_utterance(self, slot: int, drop: bool) -> None:
        self._queues.next_utterance(slot, drop)

    def costs(self) -> list[tuple[int, float]]:
        return []

    def put(self, job: FrameJob) -> Future[np.ndarray]:
        return self._queues.put(job, torch.zeros(0))

    def put_silence(self, slot: int) -> Future[np.ndarray]:
        return self._queues.put_silence(slot) or self._silence

    def take(self) -> Job | None:
        """Start on the next group, if frames are waiting."""
        group_ms = self._machine.actual.codec
        chosen = next_group(self._queues.ready, self._machine.now_s(), CODEC_THREADS, group_ms)
        group = self._queues.take([job.slot for job in chosen])

        def done() -> None:
            for frame in group:
                frame.audio.set_result(SPEECH)
            while silent := self._queues.finish([frame.slot for frame in group]):
                for frame in silent:
                    frame.audio.set_result(self._silence.result())

        return Job(group_ms(len(group)), done) if group else None


class Machine(Engine):
    """An engine on the simulated machine. `actual`: the costs of this machine, which the engine's model starts with."""

    def __init__(self, actual: CostModel, slots: int = 256, max_waiting: int = 0, capacity: int | None = None) -> None:
        self.now_ms = 0.0
        model = SimpleNamespace(frame_ms=FRAME_MS, frame_samples=1, heads=None)
        self._init_scheduling(cast(Model, model), slots, max_waiting, capacity, self.now_s)
        self._costs.update(actual)
        self.actual, self.decode_queue = actual, SimulatedDecodeQueue(self)
        self._runner = cast(ModelRunner, SimpleNamespace(decode_queue=self.decode_queue))
        self.listeners: dict[Utterance, Listener] = {}
        self.all_listeners: list[Listener] = []
        self.steps: list[tuple[float, Batch]] = []
        self.full: list[float] = []  # retry_after_ms
        self._flow_lm: Job | None = None
        self._decoding: list[Job] = []
        self._timers: list[tuple[float, int, Callable[[], object]]] = []
        self._number = count()

    def now_s(self) -> float:
        return self.now_ms / 1000

    def at(self, when_ms: float, do: Callable[[], object]) -> None:
        heapq.heappush(self._timers, (when_ms, next(self._number), do))

    def stall(self, cpu_ms: float) -> None:
        """Keep FlowLM's core busy with something else."""
        before = self._flow_lm
        self._flow_lm = Job(cpu_ms + (before.left_ms if before else 0.0), before.done if before else lambda: None)

    def add_speech(self, frames: int, segment_frames: int = 60, tokens: int = 40, **more: bool) -> Listener:
        """Add a listener to `frames` of speech, in segments."""
        full, rest = divmod(frames, segment_frames)
        lengths = [segment_frames] * full + [rest] * (rest > 0)
        return self.add_parts([Segment("", (0,) * tokens, length, 0) for length in lengths], **more)

    def add_parts(self, parts: Sequence[Segment | Silence], **more: bool) -> Listener:
        """Add a listener to segments and pauses."""
        listener = Listener(self.now_ms, lambda: self.now_ms)
        utterance = Utterance(
            VOICE,
            Sampling(0.3, None, 0.0, 1, 0),
            frame_ms=FRAME_MS,
            playback=listener,
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
        self.all_listeners.append(listener)
        return listener

    def run_until(self, end_ms: float) -> None:
        self.at(end_ms, lambda: None)
        while self.now_ms < end_ms:
            self._begin_work()
            self._advance()

    def _begin_work(self) -> None:
        while len(self._decoding) < CODEC_THREADS and (job := self.decode_queue.take()):
            self._decoding.append(job)
        while self._flow_lm is None:
            if batch := self.schedule():
                self.steps.append((self.now_ms, batch))
                self._flow_lm = self._job(batch)
            elif not self._handle(self.commit(batch, None)):
                if (due_s := self.next_due_s()) is not None:
                    self.at(self.now_ms + 1000 * due_s, lambda: None)
                return

    def _advance(self) -> None:
        """Advance the clock to the next event: a job done, or a timer."""
        share = min(1.0, (CORES - (self._flow_lm is not None)) / max(1, len(self._decoding)))
        ends = [job.left_ms / share for job in self._decoding] + [self._flow_lm.left_ms if self._flow_lm else math.inf]
        passed_ms = max(0.0, min(min(ends), self._timers[0][0] - self.now_ms))
        self.now_ms += passed_ms
        for job in self._decoding:
            job.left_ms -= passed_ms * share
        if self._flow_lm is not None:
            self._flow_lm.left_ms -= passed_ms
            if self._flow_lm.left_ms <= 1e-9:
                job, self._flow_lm = self._flow_lm, None
                job.done()
        for job in [job for job in self._decoding if job.left_ms <= 1e-9]:
            self._decoding.remove(job)
            job.done()
        while self._timers and self._timers[0][0] <= self.now_ms + 1e-9:
            heapq.heappop(self._timers)[2]()

    def _job(self, batch: Batch) -> Job:
        decode_rows, positions = batch.decode_rows, batch.positions
        cost_ms = self.actual.flow_lm(decode_rows) if decode_rows else 0.0
        cost_ms += self.actual.prefill_ms(positions, decode_rows) if positions else 0.0
        return Job(cost_ms, lambda: self._finish_step(batch, cost_ms))

    def _finish_step(self, batch: Batch, cost_ms: float) -> None:
        audio: list[Future[np.ndarray] | None] = [
            self.decode_queue.put(FrameJob(row.slot, row.fresh, row.due_s)) for row in batch.rows
        ]
        output = BatchOutput(torch.zeros(len(audio), 0), [False] * len(audio), audio, [None] * len(audio), cost_ms)
        self._handle(self.commit(batch, output))

    def _handle(self, events: list[Event]) -> bool:
        """Pass events to the listeners. Returns whether there were any."""
        for event in events:
            match event:
                case FrameSpoken(utterance=utterance, audio=audio):
                    audio.add_done_callback(self.listeners[utterance].on_audio)
                case UtteranceEnded(utterance=utterance):
                    self.listeners[utterance].ended = True
        return bool(events)

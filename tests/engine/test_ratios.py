"""Ratios of costs that must hold on any machine. In CPU time, so that other processes do not matter."""

import threading
import time
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from sayline_tts.engine.device import set_niceness
from sayline_tts.engine.engine import Engine, FrameSpoken
from sayline_tts.engine.models.flow_lm_state import FlowLMState, Prompt, SamplingInputs
from sayline_tts.engine.models.mimi import MimiState
from sayline_tts.engine.models.model import Model
from sayline_tts.engine.scheduling.cost_model import MAX_DECODE_GROUP
from sayline_tts.engine.scheduling.utterance import Utterance
from sayline_tts.engine.segment import Sampling
from sayline_tts.server.voices.voices import NICENESS
from tests.engine.reference import some_audio

TEXT = "Who can tell the secrets of their hearts and minds, and who would want to know them all before the day is out?"
NEVER_ENDING = Sampling(temperature=0.3, noise_clamp=None, eos_threshold=float("inf"), decode_steps=1, seed=0)
REPETITIONS = 15  # the cheapest counts
MAX_LEAD_MS = 1000.0
LOAD = 0.5  # share of CPU time for all listeners; two hyper-threads of one core give more or less than two cores


@torch.inference_mode()
def step_ms(model: Model, rows: int) -> float:
    """Return the CPU time of one step of so many rows."""
    slots, voice = list(range(rows)), model.load_voice("clara")
    flow, codec = FlowLMState(model.flow_lm, rows), MimiState(model.mimi, model.device, rows)
    sampling = SamplingInputs(torch.randn(rows, flow.latents.shape[1]), [0.0] * rows, [1] * rows)
    flow.step(slots, [Prompt(voice, model.segment(TEXT).tokens) for _ in slots], sampling)
    costs_ms = []
    for _ in range(REPETITIONS):
        start_s = time.thread_time()
        output = flow.step(slots, [None] * len(slots), sampling)
        for group in torch.arange(rows).split(MAX_DECODE_GROUP):
            model.mimi.decode(output.cues[group], codec, group)
        costs_ms.append(1000 * (time.thread_time() - start_s))
    return min(costs_ms)


def test_a_step_of_sixteen_costs_at_most_five_times_a_step_of_one(model: Model) -> None:
    """Measured: 3.2 times for the embedded model, 4 times for the one of 118 million parameters."""
    assert step_ms(model, 16) <= 5 * step_ms(model, 1)


def endless_utterance(model: Model, **more: Any) -> Utterance:
    """An utterance whose speech never ends."""
    made = Utterance(model.load_voice("clara"), NEVER_ENDING, **more)
    for _ in range(2):
        made.add(model.segment(TEXT))
    return made


def step(engine: Engine, progress: threading.Event) -> list[FrameSpoken]:
    """Make one step, if any row may step; wait if only the codec is behind."""
    progress.clear()
    if not (batch := engine.schedule()):
        assert not engine.throttled or progress.wait(30)
        return []
    return [event for event in engine.commit(batch, engine.run(batch)) if isinstance(event, FrameSpoken)]


def run_until_paused(engine: Engine, progress: threading.Event) -> list[FrameSpoken]:
    """Step until all rows are paused and all frames are decoded."""
    spoken: list[FrameSpoken] = []
    while (stepped := step(engine, progress)) or engine.throttled:
        spoken += stepped
    for each in spoken:
        each.audio.result(30)
    return spoken


def test_paused_utterance_takes_part_in_neither_network(model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    engine, progress = Engine(model, 17), threading.Event()
    engine.on_progress = progress.set
    paused = [endless_utterance(model, max_lead_ms=240.0) for _ in range(16)]
    for each in paused:
        engine.add(each)
    run_until_paused(engine, progress)
    flow_rows, decoded = spy(model, monkeypatch)
    alone = endless_utterance(model)
    engine.add(alone)
    while alone.buffer.produced_frames < 10:
        step(engine, progress)
    engine.close()
    assert flow_rows == [1] * 10
    assert decoded == [[16]] * 10
    assert {each.buffer.produced_frames for each in paused} == {3}


def spy(model: Model, monkeypatch: pytest.MonkeyPatch) -> tuple[list[int], list[list[int]]]:
    """Record the rows of each pass of FlowLM from now on, and the slots of each decode pass."""
    flow_rows, decoded = list[int](), list[list[int]]()
    forward, decode = model.flow_lm.forward, model.mimi.decode

    def forward_and_record(x: Tensor, span: Any) -> Tensor:
        flow_rows.append(len(span.batch.query_lengths))
        return forward(x, span)

    def decode_and_record(latents: Tensor, state: MimiState, slots: Tensor) -> Tensor:
        decoded.append(slots.tolist())
        return decode(latents, state, slots)

    monkeypatch.setattr(model.flow_lm, "forward", forward_and_record)
    monkeypatch.setattr(model.mimi, "decode", decode_and_record)
    return flow_rows, decoded


class CpuClock:
    """A clock that advances with this process's CPU time, so that a busy machine slows it too. Stands until `start`."""

    def __init__(self) -> None:
        self._start_s: float | None = None
        self._speed = 1.0

    def start(self, speed: float) -> None:
        self._start_s, self._speed = time.process_time(), speed

    def __call__(self) -> float:
        return 0.0 if self._start_s is None else self._speed * (time.process_time() - self._start_s)


class Listener:
    """Plays from the clock's first tick on; records the least lead it ever had."""

    def __init__(self, model: Model, clock: CpuClock) -> None:
        self._clock, self._frame_ms = clock, model.frame_ms
        self.frames = 0
        self.least_lead_ms = float("inf")
        self.utterance = endless_utterance(model, playback=self, max_lead_ms=MAX_LEAD_MS)

    @property
    def played_ms(self) -> float:
        return 1000 * self._clock()

    @property
    def sent_ms(self) -> float:
        return self.frames * self._frame_ms

    def on_audio(self, audio: Future[np.ndarray]) -> None:
        assert len(audio.result())
        if clock_ms := 1000 * self._clock():
            self.least_lead_ms = min(self.least_lead_ms, self.sent_ms - clock_ms)
        self.frames += 1


@pytest.mark.slow
def test_cloning_voices_causes_no_underrun_for_sixteen_listeners(model: Model) -> None:
    """The clock runs so fast that all listeners together need `LOAD` of this process's CPU time."""
    clock, progress = CpuClock(), threading.Event()
    engine = Engine(model, 16, now_s=clock)
    engine.on_progress = progress.set
    listeners = {each.utterance: each for each in (Listener(model, clock) for _ in range(16))}
    for utterance in listeners:
        engine.add(utterance)

    def step_once() -> None:
        spoken = step(engine, progress)
        for each in spoken:
            each.audio.add_done_callback(listeners[each.utterance].on_audio)
        if not spoken:
            progress.wait(0.001)  # until the clock has advanced

    while any(each.frames < 1 for each in listeners.values()):
        step_once()
    start_s, before = time.process_time(), sum(each.frames for each in listeners.values())
    for each in run_until_paused(engine, progress):
        listeners[each.utterance].on_audio(each.audio)
    frame_s = (time.process_time() - start_s) / (sum(each.frames for each in listeners.values()) - before)
    had_ms = max(each.sent_ms for each in listeners.values())
    clip = some_audio(20.0)[0].numpy()
    with ThreadPoolExecutor(1, initializer=set_niceness, initargs=(NICENESS,)) as pool:
        clock.start(LOAD * model.frame_ms / 1000 / (frame_s * len(listeners)))
        cloned = [pool.submit(model.encode_voice, clip)]
        while (
            1000 * clock() < 2 * had_ms or not cloned[-1].done()
        ):  # long enough that the lead at the start cannot hide an underrun
            if cloned[-1].done():
                cloned.append(pool.submit(model.encode_voice, clip))
            step_once()
        clock_ms = 1000 * clock()
    engine.close()
    assert clock_ms > had_ms, "too short: the lead at the start covers it"
    assert all(each.result().positions > 200 for each in cloned)
    assert min(each.least_lead_ms for each in listeners.values()) > 0

"""What must hold of costs on any machine: ratios, in CPU time, so that others who use it do not matter."""

import threading
import time
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from sayline_tts.engine.engine import Engine, FrameSpoken
from sayline_tts.engine.execution.priority import step_aside
from sayline_tts.engine.models.flow_lm_state import Draws, FlowLMState, Opening
from sayline_tts.engine.models.mimi import MimiState
from sayline_tts.engine.models.model import Model
from sayline_tts.engine.scheduling.cost_model import GROUP
from sayline_tts.engine.scheduling.utterance import Utterance
from sayline_tts.engine.segment import Sampling
from sayline_tts.server.voices.voices import NICENESS
from tests.engine.reference import some_audio

TEXT = "Who can tell the secrets of their hearts and minds, and who would want to know them all before the day is out?"
FOR_EVER = Sampling(temperature=0.3, noise_clamp=None, eos_threshold=float("inf"), decode_steps=1, seed=0)
REPETITIONS = 15  # of which the cheapest counts
MAX_LEAD_MS = 1000.0
LOAD = 0.5  # of the CPU time that there is; two cores that are halves of one give more or less of it


@torch.inference_mode()
def step_ms(model: Model, rows: int) -> float:
    """CPU time of one frame for each of so many rows."""
    slots, voice = list(range(rows)), model.load_voice("clara")
    flow, codec = FlowLMState(model.flow_lm, rows), MimiState(model.mimi, model.device, rows)
    draws = Draws(torch.randn(rows, flow.latents.shape[1]), [0.0] * rows, [1] * rows)
    flow.step(slots, [Opening(voice, model.segment(TEXT).tokens) for _ in slots], draws)
    costs_ms = []
    for _ in range(REPETITIONS):
        start_s = time.thread_time()
        spoken = flow.step(slots, [None] * len(slots), draws)
        for group in torch.arange(rows).split(GROUP):
            model.mimi.decode(spoken.cues[group], codec, group)
        costs_ms.append(1000 * (time.thread_time() - start_s))
    return min(costs_ms)


def test_a_step_of_sixteen_costs_at_most_five_times_a_step_of_one(model: Model) -> None:
    """Measured: 3.2 times here, 4 times with the model of 118 million parameters."""
    assert step_ms(model, 16) <= 5 * step_ms(model, 1)


def speaker(model: Model, **more: Any) -> Utterance:
    """One who never ends by himself."""
    made = Utterance(model.load_voice("clara"), FOR_EVER, **more)
    for _ in range(2):
        made.add(model.segment(TEXT))
    return made


def step(engine: Engine, progress: threading.Event) -> list[FrameSpoken]:
    """Nothing where nobody may step; where only the codec is behind, waits for it."""
    progress.clear()
    if not (batch := engine.schedule()):
        assert not engine.held or progress.wait(30)
        return []
    return [event for event in engine.commit(batch, engine.run(batch)) if isinstance(event, FrameSpoken)]


def until_parked(engine: Engine, progress: threading.Event) -> list[FrameSpoken]:
    """And the codec has nothing to do."""
    spoken: list[FrameSpoken] = []
    while (stepped := step(engine, progress)) or engine.held:
        spoken += stepped
    for each in spoken:
        each.sound.result(30)
    return spoken


def test_who_is_parked_reaches_neither_network(model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    engine, progress = Engine(model, 17), threading.Event()
    engine.on_progress = progress.set
    parked = [speaker(model, max_lead_ms=240.0) for _ in range(16)]
    for each in parked:
        engine.add(each)
    until_parked(engine, progress)
    flow_rows, decoded = spy(model, monkeypatch)
    alone = speaker(model)
    engine.add(alone)
    while alone.produced_frames < 10:
        step(engine, progress)
    engine.close()
    assert flow_rows == [1] * 10
    assert decoded == [[16]] * 10
    assert {each.produced_frames for each in parked} == {3}


def spy(model: Model, monkeypatch: pytest.MonkeyPatch) -> tuple[list[int], list[list[int]]]:
    """Rows of each pass of FlowLM from now on, and slots of each of the codec."""
    flow_rows, decoded = list[int](), list[list[int]]()
    forward, decode = model.flow_lm.forward, model.mimi.decode

    def forward_and_tell(x: Tensor, span: Any) -> Tensor:
        flow_rows.append(len(span.lengths))
        return forward(x, span)

    def decode_and_tell(latents: Tensor, state: MimiState, slots: Tensor) -> Tensor:
        decoded.append(slots.tolist())
        return decode(latents, state, slots)

    monkeypatch.setattr(model.flow_lm, "forward", forward_and_tell)
    monkeypatch.setattr(model.mimi, "decode", decode_and_tell)
    return flow_rows, decoded


class CpuClock:
    """Goes while this process computes, so that a busy machine slows it too. Stands until `start`."""

    def __init__(self) -> None:
        self._start_s: float | None = None
        self._speed = 1.0

    def start(self, speed: float) -> None:
        self._start_s, self._speed = time.process_time(), speed

    def __call__(self) -> float:
        return 0.0 if self._start_s is None else self._speed * (time.process_time() - self._start_s)


class Listener:
    """Plays from the clock's first tick on; knows how far it ever came to silence."""

    def __init__(self, model: Model, clock: CpuClock) -> None:
        self._clock, self._frame_ms = clock, model.frame_ms
        self.frames = 0
        self.least_ms = float("inf")
        self.utterance = speaker(
            model, played_ms=lambda: 1000 * clock(), sent_ms=lambda: self.heard_ms, max_lead_ms=MAX_LEAD_MS
        )

    @property
    def heard_ms(self) -> float:
        return self.frames * self._frame_ms

    def hear(self, sound: Future[np.ndarray]) -> None:
        assert len(sound.result())
        if clock_ms := 1000 * self._clock():
            self.least_ms = min(self.least_ms, self.heard_ms - clock_ms)
        self.frames += 1


def test_voices_are_cloned_while_sixteen_are_spoken_and_no_listener_notices(model: Model) -> None:
    """The clock is so fast that all listeners together need `LOAD` of this process's CPU time."""
    clock, progress = CpuClock(), threading.Event()
    engine = Engine(model, 16, now_s=clock)
    engine.on_progress = progress.set
    listeners = {each.utterance: each for each in (Listener(model, clock) for _ in range(16))}
    for utterance in listeners:
        engine.add(utterance)

    def go_on() -> None:
        spoken = step(engine, progress)
        for each in spoken:
            each.sound.add_done_callback(listeners[each.utterance].hear)
        if not spoken:
            progress.wait(0.001)  # until the clock has gone on

    while any(each.frames < 1 for each in listeners.values()):
        go_on()
    start_s, before = time.process_time(), sum(each.frames for each in listeners.values())
    for each in until_parked(engine, progress):
        listeners[each.utterance].hear(each.sound)
    frame_s = (time.process_time() - start_s) / (sum(each.frames for each in listeners.values()) - before)
    had_ms = max(each.heard_ms for each in listeners.values())
    clip = some_audio(20.0)[0].numpy()
    with ThreadPoolExecutor(1, initializer=step_aside, initargs=(NICENESS,)) as pool:
        clock.start(LOAD * model.frame_ms / 1000 / (frame_s * len(listeners)))
        cloned = [pool.submit(model.encode_voice, clip)]
        while 1000 * clock() < 2 * had_ms or not cloned[-1].done():  # for as long as what they had cannot hide it
            if cloned[-1].done():
                cloned.append(pool.submit(model.encode_voice, clip))
            go_on()
        clock_ms = 1000 * clock()
    engine.close()
    assert clock_ms > had_ms, "too short to tell: they had so much before"
    assert all(each.result().positions > 200 for each in cloned)
    assert min(each.least_ms for each in listeners.values()) > 0

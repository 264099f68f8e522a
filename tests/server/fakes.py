"""A model that speaks at once and predictably, behind the real engine's books."""

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from types import SimpleNamespace
from typing import cast

import numpy as np
import torch

from engine.engine import Engine, Event
from engine.errors import HubError, TextError, UnknownVoice
from engine.model import Model
from engine.runner import Output, Runner
from engine.scheduler import Batch, Scheduler
from engine.utterance import Segment, Utterance
from engine.voice import Voice

FRAME_SAMPLES = 1920
FRAMES_PER_WORD = 2


class FakeCheckpoint:
    name = "fake"
    reason = "a model for tests"
    default_voice = "ann"

    def voices(self) -> tuple[str, ...]:
        return ("ann", "bob", "eve")

    def voice_source(self, name: str) -> str:
        if name not in self.voices():
            raise UnknownVoice(f"no voice {name!r} for the model fake; there are: ann, bob, eve")
        return name


class FakeModel:
    """Two frames a word; nothing but marks cannot be spoken. The voice `eve` is beyond reach."""

    sample_rate_hz, frame_samples, frame_ms = 24_000, FRAME_SAMPLES, 80.0
    config = SimpleNamespace(default_temperature=0.3, default_eos_threshold=-4.0)
    tokenizer = SimpleNamespace(encode=str.split)

    def __init__(self) -> None:
        self.checkpoint = FakeCheckpoint()
        self.loaded: list[str] = []
        self.may_load = threading.Event()
        self.may_load.set()

    def segment(self, text: str) -> Segment:
        words = [word for word in text.split() if any(map(str.isalnum, word))]
        if not words:
            raise TextError("there is nothing to say in this text; send some words")
        return Segment(text, tuple(map(len, words)), FRAMES_PER_WORD * len(words), 0)

    def segments(self, text: str) -> list[Segment]:
        return [self.segment(text)]

    def load_voice(self, name: str) -> Voice:
        self.loaded.append(name)
        assert self.may_load.wait(30)
        if name == "eve":
            raise HubError("the hub does not answer; try again")
        return Voice(torch.zeros(1, 1, 1, 1), torch.zeros(1, 1, 1, 1))


@dataclass
class FakeRunner:
    """Never says that speech is over, so every segment has its `max_frames`."""

    may_step: threading.Event
    fault: Exception | None = None
    codec_fault: Exception | None = None
    steps: int = 0

    def __post_init__(self) -> None:
        self._frames: dict[int, int] = {}

    def run(self, batch: Batch) -> Output:
        assert self.may_step.wait(30)
        self.steps += 1
        if self.fault is not None:
            fault, self.fault = self.fault, None
            raise fault
        pcm: list[np.ndarray] = []
        for row in batch.rows:
            number = 0 if row.join is not None and row.join.fresh else self._frames[row.slot] + 1
            self._frames[row.slot] = number
            pcm.append(frame(row.sampling.seed, number))
        sound: Future[list[np.ndarray]] = Future()
        if self.codec_fault is None:
            sound.set_result(pcm)
        else:
            fault, self.codec_fault = self.codec_fault, None
            sound.set_exception(fault)
        return Output(torch.zeros(len(pcm), 1), [False] * len(pcm), list(range(len(pcm))), sound)

    def close(self) -> None:
        pass


class FakeEngine(Engine):
    def __init__(self, slots: int = 32, max_waiting: int = 64) -> None:
        self.fake_model = FakeModel()
        self.model = cast(Model, self.fake_model)
        self._scheduler = Scheduler(slots, max_waiting)
        self.runner = FakeRunner(threading.Event())
        self.runner.may_step.set()
        self._runner = cast(Runner, self.runner)

        self._changed, self._scheduled = asyncio.Event(), asyncio.Event()

    @property
    def running(self) -> int:
        return len(self._scheduler.running)

    @property
    def utterances(self) -> list[Utterance]:
        return list(self._scheduler.running.values())

    def commit(self, batch: Batch, output: Output | None) -> list[Event]:
        self._changed.set()
        return super().commit(batch, output)

    def schedule(self) -> Batch:
        if batch := super().schedule():
            self._scheduled.set()
        return batch

    async def until_scheduled(self) -> None:
        """For the first time."""
        await self._scheduled.wait()

    async def until(self, so: Callable[[], bool]) -> None:
        """Looks again after each commit."""
        while not so():
            self._changed.clear()
            await self._changed.wait()


def frame(seed: int, number: int) -> np.ndarray:
    """What the fake speaks: every frame of every seed has a level of its own."""
    return np.full(FRAME_SAMPLES, ((31 * seed + number) % 997) / 1000, np.float32)

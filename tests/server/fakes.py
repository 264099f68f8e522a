"""A fake model, codec and runner with instant, predictable output, for the real engine's scheduling."""

import asyncio
import re
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from types import SimpleNamespace
from typing import cast

import numpy as np
import torch

from sayline_tts.engine.audio.onset import FADE_SAMPLES
from sayline_tts.engine.checkpoint.alignment_heads import AlignmentHeads
from sayline_tts.engine.engine import Engine, Event
from sayline_tts.engine.errors import HubError, TextError, UnknownVoice
from sayline_tts.engine.execution.decode_queue import FrameDropped, silent_frame
from sayline_tts.engine.execution.frame_queues import FrameJob, FrameQueues
from sayline_tts.engine.execution.model_runner import BatchOutput, ModelRunner
from sayline_tts.engine.kernels.precision import Precision
from sayline_tts.engine.models.model import Model
from sayline_tts.engine.models.voice import Voice
from sayline_tts.engine.scheduling.scheduler import Batch, Row
from sayline_tts.engine.scheduling.utterance import Utterance
from sayline_tts.engine.segment import Segment
from sayline_tts.engine.text.chunk import Word
from sayline_tts.engine.text.word_ids import word_ids

FRAME_SAMPLES = 1920
FRAMES_PER_WORD = 2


class FakeCheckpoint:
    name = "fake"
    reason = "a model for tests"
    weights_sha256 = "ab" * 32
    default_voice = "ann"
    max_prompt_s: float | None = None
    calibrated = True

    def voices(self) -> tuple[str, ...]:
        return ("ann", "bob", "eve")

    def voice_description(self, name: str) -> str | None:
        return "A tone" if name == "bob" else None

    def voice_source(self, name: str) -> str:
        if name not in self.voices():
            raise UnknownVoice(f"no voice {name!r} for the model fake; there are: ann, bob, eve")
        return name


class FakeModel:
    """Generates two frames per word. Punctuation alone raises `TextError`, and the voice `eve` cannot be loaded."""

    sample_rate_hz, frame_samples, frame_ms = 24_000, FRAME_SAMPLES, 80.0
    config = SimpleNamespace(
        default_temperature=0.3,
        default_eos_threshold=-4.0,
        flow_lm=SimpleNamespace(transformer=SimpleNamespace(num_layers=1, kv_heads=1, head_dim=1)),
        mimi=SimpleNamespace(
            decoder_attention=SimpleNamespace(num_layers=2, context=10),
            seanet=SimpleNamespace(ratios=(6, 5, 4)),
            frame_samples=FRAME_SAMPLES,
            quantizer=SimpleNamespace(dimension=1),
        ),
    )
    isa = "fake"
    tokenizer = SimpleNamespace(encode=str.split, has_token=str.isascii)
    device = torch.device("cpu")
    precision = Precision.FLOAT32
    heads: AlignmentHeads | None = None  # if set, the runner returns attention on the current word
    sampling, reader = Model.sampling, Model.reader

    def __init__(self) -> None:
        self.checkpoint = FakeCheckpoint()
        self.loaded: list[str] = []
        self.may_load = threading.Event()
        self.may_load.set()

    def segment(
        self, text: str, words: Sequence[Word] = (), lookahead_words: int = 0, continues: bool = False
    ) -> Segment:
        spoken = [word for word in text.split() if any(map(str.isalnum, word))]
        if not spoken:
            raise TextError("there is nothing to say in this text; send some words")
        spans = [match.span() for match in re.finditer(r"\S+", text)] if self.heads else []
        frames = FRAMES_PER_WORD * len(spoken)
        ids = word_ids(words, text, spans)
        return Segment(text, tuple(map(len, spoken)), frames, 0, tuple(words), ids, lookahead_words)

    def segments(self, text: str) -> list[Segment]:
        return [self.segment(text)]

    def load_voice(self, name: str) -> Voice:
        self.loaded.append(name)
        assert self.may_load.wait(30)
        if name == "eve":
            raise HubError("the hub does not answer; try again")
        return Voice(torch.zeros(1, 1, 1, 1), torch.zeros(1, 1, 1, 1))


class FakeDecodeQueue:
    """Decodes at once, or after `hold` when `resume` is called. The engine's thread and the test's both call it."""

    def __init__(self, on_progress: Callable[[], None]) -> None:
        self._on_progress = on_progress
        self._lock = threading.RLock()
        self.workers, self.restarts, self.checks = 2, 0, 0
        self._holding = False
        self._queues, self._silence = FrameQueues(), silent_frame(FRAME_SAMPLES)
        self._held: list[tuple[int, Future[np.ndarray], np.ndarray | Exception]] = []

    @property
    def backlog(self) -> int:
        return self._queues.backlog

    def hold(self) -> None:
        self._holding = True

    def resume(self, frames: int | None = None) -> None:
        """Decode `frames` held frames and keep holding; without `frames`, decode all and stop holding."""
        with self._lock:
            self._holding = frames is not None
            for _ in range(len(self._held) if frames is None else frames):
                self._decode()
        self._on_progress()

    def put(self, slot: int, spoken: np.ndarray | Exception) -> Future[np.ndarray]:
        with self._lock:
            audio = self._queues.put(FrameJob(slot, fresh=False, due_s=0.0), torch.zeros(0))
            self._held.append((slot, audio, spoken))
            if not self._holding:
                self._decode()
        return audio

    def put_silence(self, slot: int) -> Future[np.ndarray]:
        with self._lock:
            return self._queues.put_silence(slot) or self._silence

    def caught_up(self, frames: int) -> bool:
        return self.backlog <= frames

    def next_utterance(self, slot: int, drop: bool) -> None:
        with self._lock:
            dropped = self._queues.next_utterance(slot, drop)
            audios = {frame.audio for frame in dropped}
            self._held = [held for held in self._held if held[1] not in audios]
        for frame in dropped:
            frame.audio.set_exception(FrameDropped())

    def check_workers(self) -> None:
        self.checks += 1

    def costs(self) -> list[tuple[int, float]]:
        return []

    def _decode(self) -> None:
        slot, audio, spoken = self._held.pop(0)
        self._queues.take([slot])
        _resolve(audio, spoken)
        while silent := self._queues.finish([slot]):
            for frame in silent:
                frame.audio.set_result(self._silence.result())


def _resolve(sound: Future[np.ndarray], spoken: np.ndarray | Exception) -> None:
    if isinstance(spoken, Exception):
        sound.set_exception(spoken)
    else:
        sound.set_result(spoken)


class FakeRunner:
    """Never predicts the end of speech, so every segment has `max_frames`."""

    def __init__(self, on_progress: Callable[[], None]) -> None:
        self.may_step = threading.Event()
        self.may_step.set()
        self.next_error: Exception | None = None  # of the next step
        self.next_codec_error: Exception | None = None  # of the next step's frames
        self.steps = 0
        self.decode_queue = FakeDecodeQueue(on_progress)
        self.skipped_words = set[int]()  # of each segment: the frames are those of the next word
        self._frames: dict[int, int] = {}
        self._seeds: dict[int, int] = {}
        self._segment_steps: dict[int, int] = {}

    def run(self, batch: Batch) -> BatchOutput:
        assert self.may_step.wait(30)
        self.steps += 1
        if self.next_error is not None:
            next_error, self.next_error = self.next_error, None
            raise next_error
        sounds: list[Future[np.ndarray] | None] = []
        for row in batch.rows:
            self._rewind(row)
        attention = [self._look(row) for row in batch.rows]
        for row, looked in zip(batch.rows, attention, strict=True):
            if row.word_limit is not None and looked is not None and row.word_limit.exceeded(looked):
                self._segment_steps[row.slot] -= 1
                sounds.append(None)
                continue
            number = 0 if row.fresh else self._frames[row.slot] + 1
            if row.resumption is not None:
                number = row.resumption.decoded_frames - len(row.resumption.given)
            self._frames[row.slot], self._seeds[row.slot] = number, row.sampling.seed
            if row.held or row.given is not None:
                sounds.append(None)
                continue
            sounds.append(self.decode_queue.put(row.slot, self.next_codec_error or frame(row.sampling.seed, number)))
        self.next_codec_error = None
        latents = torch.tensor([[self._frames[row.slot]] for row in batch.rows])
        return BatchOutput(latents, [False] * len(sounds), sounds, attention, cost_ms=1.0)

    def decode(self, job: FrameJob, latent: torch.Tensor) -> Future[np.ndarray]:
        return self.decode_queue.put(job.slot, frame(self._seeds[job.slot], int(latent)))

    def _rewind(self, row: Row) -> None:
        if row.rewind is not None:
            frames = row.rewind.frames - (len(row.rewind.latents) - 1)
            self._frames[row.slot] -= frames
            self._segment_steps[row.slot] -= frames

    def _look(self, row: Row) -> np.ndarray | None:
        """Attention on the current word only."""
        begins = row.prefill is not None and row.prefill.frames is None
        step = 0 if begins else self._segment_steps[row.slot] + 1
        self._segment_steps[row.slot] = step
        word = step // FRAMES_PER_WORD
        word += word in self.skipped_words
        return np.eye(row.attention_tokens, dtype=np.float32)[word] if row.attention_tokens else None

    def close(self) -> None:
        pass


class FakeEngine(Engine):
    """The real engine with a fake model and runner."""

    def __init__(self, slots: int = 32, max_waiting: int = 64, capacity: int | None = None) -> None:
        self.fake_model = FakeModel()
        self._init_scheduling(cast(Model, self.fake_model), slots, max_waiting, capacity, time.monotonic)
        self.runner = FakeRunner(lambda: self.on_progress())
        self._runner = cast(ModelRunner, self.runner)
        self.profile_runs = 0
        self._changed, self._scheduled = asyncio.Event(), asyncio.Event()

    def profile(self) -> None:
        self.profile_runs += 1

    @property
    def running(self) -> int:
        return len(self._scheduler.running)

    @property
    def utterances(self) -> list[Utterance]:
        return list(self._scheduler.running.values())

    def commit(self, batch: Batch, output: BatchOutput | None) -> list[Event]:
        self._changed.set()
        return super().commit(batch, output)

    def schedule(self) -> Batch:
        if batch := super().schedule():
            self._scheduled.set()
        return batch

    async def wait_scheduled(self) -> None:
        """Wait for the first scheduled batch."""
        await self._scheduled.wait()

    async def wait_until(self, condition: Callable[[], bool]) -> None:
        """Wait until the condition holds; it is checked after each commit."""
        while not condition():
            self._changed.clear()
            await self._changed.wait()


def frame(seed: int, number: int) -> np.ndarray:
    """The fake's audio: each frame of each seed has a level of its own. The first one starts from silence."""
    pcm = np.full(FRAME_SAMPLES, ((31 * seed + number) % 997 + 1) / 1000, np.float32)
    pcm[: FADE_SAMPLES if number == 0 else 0] = 0
    return pcm

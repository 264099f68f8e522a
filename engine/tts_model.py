"""`TTSModel`: the plain Python API over the same engine that serves listeners. Blocking, thread-safe, no event loop.

Whoever waits for a frame steps the engine for everybody, so threads that generate at once share their steps.
"""

import math
import secrets
import threading
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import Self

import numpy as np
import torch
from torch import Tensor

from sayline_tts.engine.audio.recording import check_audio
from sayline_tts.engine.checkpoint.checkpoint import find_checkpoint
from sayline_tts.engine.engine import Engine, Event, FrameSpoken, UtteranceEnded
from sayline_tts.engine.errors import InputError
from sayline_tts.engine.models.model import Model
from sayline_tts.engine.models.voice import Voice
from sayline_tts.engine.scheduling.scheduler import Batch
from sayline_tts.engine.scheduling.utterance import Status, Utterance
from sayline_tts.engine.segment import Sampling

MAX_LEAD_MS = 2000.0  # a consumer that dawdles does not make the others' steps dearer
MAX_THREADS = 256  # slots cost nothing before they are used


class VoiceState:
    """What the model speaks from. Changes only where `copy_state=False` asks for it."""

    def __init__(self, voice: Voice) -> None:
        self.voice = voice


class TTSModel:
    """One model, ready to speak. Make it with `load_model`."""

    def __init__(self, model: Model, temp: float, lsd_decode_steps: int, noise_clamp: float | None,
                 eos_threshold: float) -> None:  # fmt: skip
        self._model = model
        self._sampling = (temp, noise_clamp, eos_threshold, lsd_decode_steps)
        self._engine = Engine(model, MAX_THREADS)
        self._lock = threading.Lock()
        self._jobs: dict[Utterance, _Job] = {}

    @classmethod
    def load_model(
        cls,
        variant: str = "auto",
        config: str | Path | None = None,
        temp: float | None = None,
        lsd_decode_steps: int = 1,
        noise_clamp: float | None = None,
        eos_threshold: float | None = None,
        device: str = "cpu",
        precision: str = "auto",
    ) -> Self:
        """Load a model by name, or from a YAML `config` (path or URL).

        `variant`: a published name, "embedded", or "auto" (Kyutai's English model where it can be had, else the
        embedded one). `temp`: deviation of the noise squared, 0 or more; None takes the model's own, as for
        `eos_threshold` (a logit). `lsd_decode_steps`: integration steps of the flow head, 1 or more. `noise_clamp`:
        bound of the noise. `precision`: "float32", "bfloat16" or "int8"; "auto" is the fastest here of those that
        sound alike.
        Raises `InputError` (`sayline_tts.engine.errors`) with what to do when something does not fit.
        """
        _check(temp is None or 0 <= temp < float("inf"), f"temp is {temp}: give 0 or more, 0.3 is usual")
        _check(lsd_decode_steps >= 1, f"lsd_decode_steps is {lsd_decode_steps}: give 1 or more")
        _check(noise_clamp is None or noise_clamp > 0, f"noise_clamp is {noise_clamp}: give more than 0, or nothing")
        _check(eos_threshold is None or not math.isnan(eos_threshold), "eos_threshold is not a number: give a logit")
        model = Model.load(find_checkpoint(variant, config), device, precision)
        return cls(
            model,
            model.config.default_temperature if temp is None else temp,
            lsd_decode_steps,
            noise_clamp,
            model.config.default_eos_threshold if eos_threshold is None else eos_threshold,
        )

    @property
    def device(self) -> torch.device:
        return self._model.device

    @property
    def sample_rate(self) -> int:
        """Hz."""
        return self._model.sample_rate_hz

    @property
    def voices(self) -> tuple[str, ...]:
        """Names that `get_state_for_voice` takes."""
        return self._model.checkpoint.voices()

    @property
    def default_voice(self) -> str:
        return self._model.checkpoint.default_voice

    @property
    def reason(self) -> str:
        """Which weights speak, why, and how to get others."""
        return self._model.checkpoint.reason

    def get_state_for_voice(self, name: str) -> VoiceState:
        """One of the model's own voices. Raises `UnknownVoice`, naming those that there are."""
        self._model.checkpoint.voice_source(name)
        return self.get_state_for_audio_prompt(name)

    def get_state_for_audio_prompt(self, source: str | Path | Tensor, truncate: bool = False) -> VoiceState:
        """A voice from a name, a path, an `https://` or `hf://` address, or samples.

        `source`: audio or `.safetensors`; or a tensor `[channels, samples]` in [-1, 1] at `sample_rate`.
        `truncate` takes the first 30 s of audio that is longer. Raises `VoiceError`.
        """
        if isinstance(source, Tensor):
            samples = check_audio(source.detach().cpu().numpy().astype(np.float32), self.sample_rate, truncate)
            return VoiceState(self._model.encode_voice(samples))
        return VoiceState(self._model.load_voice(source, truncate))

    def generate_audio(self, state: VoiceState, text: str, frames_after_eos: int | None = None,
                       copy_state: bool = True, seed: int | None = None) -> Tensor:  # fmt: skip
        """The whole of `generate_audio_stream`, `[samples]`."""
        return torch.cat(list(self.generate_audio_stream(state, text, frames_after_eos, copy_state, seed)))

    def generate_audio_stream(
        self,
        state: VoiceState,
        text: str,
        frames_after_eos: int | None = None,
        copy_state: bool = True,
        seed: int | None = None,
    ) -> Iterator[Tensor]:
        """Speak `text`; yields frames of 80 ms, float32 `[samples]` in [-1, 1], each as soon as it is decoded.

        `frames_after_eos`: frames to go on for once the model says that speech is over (None: by the length of the
        text). `copy_state=False` lets `state` remember what was said, so that the next text goes on from it.
        `seed` fixes the noise. Stop early by closing the iterator. Raises `TextError` at once for a blank text.
        """
        segments = self._model.segments(text, frames_after_eos)
        job = _Job(None if copy_state else state)
        utterance = Utterance(
            state.voice,
            Sampling(*self._sampling, seed=secrets.randbits(63) if seed is None else seed),
            frame_ms=self._model.frame_ms,
            played_ms=lambda: job.taken_frames * self._model.frame_ms,
            max_lead_ms=MAX_LEAD_MS,
            continues=not copy_state,
        )
        for segment in segments:
            utterance.add(segment)
        utterance.end()
        return self._frames(utterance, job)

    def _frames(self, utterance: Utterance, job: "_Job") -> Iterator[Tensor]:
        with self._lock:
            self._jobs[utterance] = job
            self._engine.add(utterance)
        try:
            while (frame := self._next_frame(job)) is not None:
                job.taken_frames += 1
                yield torch.from_numpy(frame.pcm)
            if utterance.status is Status.FAILED:
                raise RuntimeError("a step shared with another thread failed; that thread has its error")
        finally:
            with self._lock:
                self._engine.cancel(utterance)
                self._deliver(self._engine.commit(Batch(()), None))
                del self._jobs[utterance]

    def _next_frame(self, job: "_Job") -> FrameSpoken | None:
        with self._lock:
            while not job.inbox:
                stepped = self._step()
                assert stepped, "someone waits for a frame and nobody can step"
            frame = job.inbox.popleft()
            if frame is not None and not job.inbox and job.taken_frames:
                self._step()  # the next latent is made while this one is decoded; the first frame does not wait for it
            return frame

    def _step(self) -> bool:
        """Could anybody step?"""
        batch = self._engine.schedule()
        if not batch:
            return False
        try:
            output = self._engine.run(batch)
        except BaseException:
            self._deliver(self._engine.fail(batch))
            raise
        self._deliver(self._engine.commit(batch, output))
        return True

    def _deliver(self, events: list[Event]) -> None:
        for event in events:
            job = self._jobs[event.utterance]
            match event:
                case FrameSpoken():
                    job.inbox.append(event)
                case UtteranceEnded():
                    if job.remembers is not None and event.status is Status.FINISHED:
                        job.remembers.voice = self._engine.snapshot(event)
                    job.inbox.append(None)


class _Job:
    """What one consumer waits for: frames, then None."""

    def __init__(self, remembers: VoiceState | None) -> None:
        self.inbox: deque[FrameSpoken | None] = deque()
        self.taken_frames = 0
        self.remembers = remembers


def export_model_state(state: VoiceState, path: str | Path) -> None:
    """Write a voice to a `.safetensors` file that this project and the reference implementation read."""
    state.voice.save(Path(path))


def _check(fine: bool, message: str) -> None:
    if not fine:
        raise InputError(message)

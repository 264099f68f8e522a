"""`TTSModel`: the Python API over the same engine that the server uses. Blocking, thread-safe, no event loop.

A thread that waits for a frame steps the engine for all threads, so threads that generate at once share their steps.
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
from sayline_tts.engine.scheduling.playback_buffer import PlaybackPosition
from sayline_tts.engine.scheduling.scheduler import Batch
from sayline_tts.engine.scheduling.utterance import Status, Utterance
from sayline_tts.engine.segment import Sampling

MAX_LEAD_MS = 2000.0  # a slow consumer must not make the steps of others more expensive
MAX_UTTERANCES = 256  # slots cost nothing until they are used


class VoiceState:
    """The state that the model starts from. Changes only with `copy_state=False`."""

    def __init__(self, voice: Voice) -> None:
        self.voice = voice


class TTSModel:
    """One loaded model. Create it with `load_model`."""

    def __init__(self, model: Model, temp: float, lsd_decode_steps: int, noise_clamp: float | None,
                 eos_threshold: float) -> None:  # fmt: skip
        self._model = model
        self._sampling = (temp, noise_clamp, eos_threshold, lsd_decode_steps)
        self._engine = Engine(model, MAX_UTTERANCES)
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

        `variant`: a published name, "embedded", or "auto" (Kyutai's English model if available, else the embedded one).
        `temp`: variance of the noise, 0 or more; None takes the model's default, as for `eos_threshold` (a logit).
        `lsd_decode_steps`: integration steps of the flow head, 1 or more. `noise_clamp`: bound of the noise.
        `precision`: "float32", "bfloat16" or "int8"; "auto" is the fastest on this machine whose speech is
        indistinguishable from float32.
        Raises `InputError` (`sayline_tts.engine.errors`), whose message says what to do.
        """
        _check(temp is None or 0 <= temp < float("inf"), f"temp is {temp}; use 0 or more, such as 0.3")
        _check(lsd_decode_steps >= 1, f"lsd_decode_steps is {lsd_decode_steps}; use 1 or more")
        _check(noise_clamp is None or noise_clamp > 0, f"noise_clamp is {noise_clamp}; use more than 0, or None")
        _check(eos_threshold is None or not math.isnan(eos_threshold), "eos_threshold is not a number; use a logit")
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
        """Names of the model's own voices, for `get_state_for_voice`."""
        return self._model.checkpoint.voices()

    @property
    def default_voice(self) -> str:
        return self._model.checkpoint.default_voice

    @property
    def reason(self) -> str:
        """Which weights were loaded, why, and how to get others."""
        return self._model.checkpoint.reason

    def get_state_for_voice(self, name: str) -> VoiceState:
        """Return one of the model's own voices. Raises `UnknownVoice`, which lists the names."""
        self._model.checkpoint.voice_source(name)
        return self.get_state_for_audio_prompt(name)

    def get_state_for_audio_prompt(self, source: str | Path | Tensor, truncate: bool = False) -> VoiceState:
        """Return a voice from a name, a path, an `https://` or `hf://` address, or samples.

        `source`: audio or `.safetensors`; or a tensor `[channels, samples]` in [-1, 1] at `sample_rate`.
        `truncate`: use only the first 30 s of longer audio. Raises `VoiceError`.
        """
        if isinstance(source, Tensor):
            samples = check_audio(source.detach().cpu().numpy().astype(np.float32), self.sample_rate, truncate)
            return VoiceState(self._model.encode_recording(samples))
        return VoiceState(self._model.load_voice(source, truncate))

    def generate_audio(self, state: VoiceState, text: str, frames_after_eos: int | None = None,
                       copy_state: bool = True, seed: int | None = None) -> Tensor:  # fmt: skip
        """Speak `text` and return all frames of `generate_audio_stream` as `[samples]`."""
        return torch.cat(list(self.generate_audio_stream(state, text, frames_after_eos, copy_state, seed)))

    def generate_audio_stream(
        self,
        state: VoiceState,
        text: str,
        frames_after_eos: int | None = None,
        copy_state: bool = True,
        seed: int | None = None,
    ) -> Iterator[Tensor]:
        """Speak `text`; yield frames of 80 ms, float32 `[samples]` in [-1, 1], each as soon as it is decoded.

        `frames_after_eos`: frames to make after the model has ended speech (None: by the length of the text).
        `copy_state=False`: keep what was spoken in `state`, so that the next text continues from it. `seed`: fixes the
        noise. Close the iterator to stop early. Raises `TextError` at once if there is nothing to speak in `text`.
        """
        segments = self._model.segments(text, frames_after_eos)
        job = _Job(None if copy_state else state)
        utterance = Utterance(
            state.voice,
            Sampling(*self._sampling, seed=secrets.randbits(63) if seed is None else seed),
            frame_ms=self._model.frame_ms,
            playback=job.position,
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
                job.position.played_ms += self._model.frame_ms
                yield torch.from_numpy(frame.pcm)
            if utterance.status is Status.FAILED:
                raise RuntimeError("a step shared with another thread failed; that thread raised the error")
        finally:
            with self._lock:
                self._engine.cancel(utterance)
                self._deliver(self._engine.commit(Batch(()), None))
                del self._jobs[utterance]

    def _next_frame(self, job: "_Job") -> FrameSpoken | None:
        with self._lock:
            while not job.inbox:
                stepped = self._step()
                assert stepped, "a frame is awaited and no row can step"
            frame = job.inbox.popleft()
            if frame is not None and not job.inbox and job.position.played_ms:
                self._step()  # make the next latent while this one is decoded; the first frame does not wait for it
            return frame

    def _step(self) -> bool:
        """Make one step. Returns whether any row could step."""
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
                    if job.continued is not None and event.status is Status.FINISHED:
                        job.continued.voice = self._engine.snapshot(event)
                    job.inbox.append(None)


class _Job:
    """Frames of one consumer, then None. `continued`: the state to update at the end, if any."""

    def __init__(self, continued: VoiceState | None) -> None:
        self.inbox: deque[FrameSpoken | None] = deque()
        self.position = PlaybackPosition()  # a frame counts as played once it is taken
        self.continued = continued


def export_model_state(state: VoiceState, path: str | Path) -> None:
    """Write a voice to a `.safetensors` file, readable by this project and by the reference implementation."""
    state.voice.save(Path(path))


def _check(valid: bool, message: str) -> None:
    if not valid:
        raise InputError(message)

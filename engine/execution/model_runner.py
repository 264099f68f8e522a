"""One step: rows that join or go on through FlowLM, and their latents to the codec.

FlowLM makes the next latents on the engine's thread while the codec, on others, decodes those before. Knows slots, not
listeners; the frozen `Batch` says all that it needs.
"""

import os
import time
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from sayline_tts.engine.cuda.static_flow import StaticFlow
from sayline_tts.engine.device import clock_ns, wants_static
from sayline_tts.engine.execution.decode_queue import Codec, Cue
from sayline_tts.engine.models.flow_lm_state import Draws, FlowLMState, Opening, Spoken
from sayline_tts.engine.models.model import Model
from sayline_tts.engine.models.voice import Voice
from sayline_tts.engine.scheduling.scheduler import Batch, Row
from sayline_tts.engine.segment import Sampling


@dataclass(frozen=True, slots=True)
class Output:
    """What one step made of the rows of its batch."""

    latents: Tensor  # [rows, dim], FlowLM's scale
    is_eos: list[bool]
    sounds: list[Future[np.ndarray] | None]  # float32 [samples] in [-1, 1], once it is decoded; None: does not count
    attention: list[np.ndarray | None]  # [tokens] each, where it was asked for: how much the frame looks at each token
    cost_ms: float  # CPU time of the engine's thread; on an accelerator, time until it was done

    @property
    def kept(self) -> list[int]:
        """Rows whose frame counts."""
        return [i for i, sound in enumerate(self.sounds) if sound is not None]


class Runner:
    """FlowLM's state belongs to the thread that calls `run`, the codec's to its own threads, or processes: `apart`."""

    def __init__(
        self,
        model: Model,
        slots: int,
        group_ms: Callable[[int], float],
        on_progress: Callable[[], None] = lambda: None,
        now_s: Callable[[], float] = time.monotonic,
        apart: bool = False,
    ) -> None:
        self._flow = (StaticFlow if wants_static(model.device) else FlowLMState)(model.flow_lm, slots, model.heads)
        self.codec = Codec(model, slots, codec_threads(model.device), group_ms, on_progress, now_s, apart)
        self._clock_ns = clock_ns(model.device)
        self._noise: dict[int, torch.Generator] = {}

    @torch.inference_mode()
    def run(self, batch: Batch) -> Output:
        start_ns = self._clock_ns()
        openings = [None if row.join is None else Opening(row.join.voice, row.join.tokens) for row in batch.rows]
        spoken = self._flow.step(
            [row.slot for row in batch.rows],
            openings,
            self._draws(batch.rows),
            [row.text_length for row in batch.rows],
        )
        sounds = self._decode(batch.rows, spoken)
        return Output(spoken.latents, spoken.is_eos, sounds, spoken.attention, (self._clock_ns() - start_ns) / 1e6)

    @torch.inference_mode()
    def snapshot(self, slot: int) -> Voice:
        """What FlowLM holds of a slot, as a voice to go on from."""
        return self._flow.snapshot(slot)

    def close(self) -> None:
        self.codec.close()

    def _decode(self, rows: tuple[Row, ...], spoken: Spoken) -> list[Future[np.ndarray] | None]:
        """The codec goes on with the frames that count while the next step is made."""
        kept = [i for i, row in enumerate(rows) if not (row.discard or (row.discard_on_eos and spoken.is_eos[i]))]
        cues = [Cue(rows[i].slot, rows[i].fresh, rows[i].due_s) for i in kept]
        sounds: list[Future[np.ndarray] | None] = [None] * len(rows)
        for i, sound in zip(kept, self.codec.put(cues, spoken.cues[kept]), strict=True):
            sounds[i] = sound
        return sounds

    def _draws(self, rows: tuple[Row, ...]) -> Draws:
        for row in rows:
            if row.fresh:
                self._noise[row.slot] = torch.Generator().manual_seed(row.sampling.seed)
        return Draws(
            torch.stack([self._draw(row.slot, row.sampling) for row in rows]),
            [row.sampling.eos_threshold for row in rows],
            [row.sampling.decode_steps for row in rows],
        )

    def _draw(self, slot: int, sampling: Sampling) -> Tensor:
        """Noise for one frame `[dim]`, from the utterance's own generator."""
        noise = torch.zeros(self._flow.latents.shape[1])
        std = sampling.temperature**0.5
        bound = sampling.noise_clamp
        if std > 0 and bound is None:
            noise.normal_(0.0, std, generator=self._noise[slot])
        elif std > 0 and bound is not None:
            torch.nn.init.trunc_normal_(noise, 0.0, std, -bound, bound, generator=self._noise[slot])
        return noise


def codec_threads(device: torch.device) -> int:
    """One for each core that FlowLM's threads leave; one keeps an accelerator busy."""
    return 1 if wants_static(device) else max(1, cores() // torch.get_num_threads())


def cores() -> int:
    """That this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1

"""Model runner: the tensor work of one step. Runs FlowLM over a batch and queues the latents for the codec.

FlowLM makes the next latents on the engine's thread while the codec decodes the last ones on others. The runner deals
in slots; the frozen `Batch` holds all that it needs.
"""

import time
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from sayline_tts.engine.checkpoint.alignment_heads import AlignmentHeads
from sayline_tts.engine.cuda.static_flow import StaticFlow
from sayline_tts.engine.device import step_clock_ns, usable_cores, uses_static_shapes
from sayline_tts.engine.execution.decode_queue import DecodeQueue
from sayline_tts.engine.execution.frame_queues import FrameJob
from sayline_tts.engine.models.flow_lm_state import FlowLMState, Prompt, SamplingInputs, StepOutput
from sayline_tts.engine.models.model import Model
from sayline_tts.engine.models.voice import Voice
from sayline_tts.engine.scheduling.resumption import NoisePosition
from sayline_tts.engine.scheduling.scheduler import Batch, Prefill, Row
from sayline_tts.engine.segment import Sampling


@dataclass(frozen=True, slots=True)
class BatchOutput:
    """Result of one step, row by row of its batch."""

    latents: Tensor  # [rows, dim], FlowLM's scale
    is_eos: list[bool]
    audio: list[Future[np.ndarray] | None]  # float32 [samples] in [-1, 1] once decoded; None: the frame is dropped
    attention: list[np.ndarray | None]  # [tokens] each, if captured: how much the frame attends to each token
    cost_ms: float  # CPU time of the engine's thread; on an accelerator, wall time

    @property
    def kept(self) -> list[int]:
        """Rows whose frame is kept."""
        return [i for i, audio in enumerate(self.audio) if audio is not None]


class ModelRunner:
    """Holds the state of both networks for `slots` slots.

    FlowLM's state belongs to the thread that calls `run`, the codec's to the workers of `decode_queue`. `group_ms` and
    `decode_in_processes` as for `DecodeQueue`.
    """

    def __init__(
        self,
        model: Model,
        slots: int,
        group_ms: Callable[[int], float],
        on_progress: Callable[[], None] = lambda: None,
        now_s: Callable[[], float] = time.monotonic,
        decode_in_processes: bool = False,
    ) -> None:
        self._flow = (StaticFlow if uses_static_shapes(model.device) else FlowLMState)(
            model.flow_lm, slots, model.heads
        )
        self.decode_queue = DecodeQueue(
            model, slots, decode_threads(model.device), group_ms, on_progress, now_s, decode_in_processes
        )
        self._denormalize = model.flow_lm.denormalize
        self._clock_ns = step_clock_ns(model.device)
        self._noise: dict[int, torch.Generator] = {}  # by slot

    @torch.inference_mode()
    def run(self, batch: Batch) -> BatchOutput:
        """Make the latents of one step and queue those that are kept for the codec."""
        start_ns = self._clock_ns()
        self._rewind(batch.rows)
        step = self._flow.step(
            [row.slot for row in batch.rows],
            [_prompt(row.prefill) for row in batch.rows],
            self._sampling_inputs(batch.rows),
            [row.attention_tokens for row in batch.rows],
        )
        self._give(batch.rows, step)
        self._rebuild_codec(batch.rows)
        audio = self._decode(batch.rows, step)
        return BatchOutput(step.latents, step.is_eos, audio, step.attention, (self._clock_ns() - start_ns) / 1e6)

    @torch.inference_mode()
    def decode(self, job: FrameJob, latent: Tensor) -> Future[np.ndarray]:
        """Queue a frame that was held back: `latent` `[dim]` on FlowLM's scale. On any thread."""
        return self.decode_queue.put([job], self._denormalize(latent[None]))[0]

    @torch.inference_mode()
    def snapshot(self, slot: int) -> Voice:
        """Return FlowLM's state of a slot as a voice to continue from."""
        return self._flow.snapshot(slot)

    def set_heads(self, heads: AlignmentHeads | None) -> bool:
        """Return the attention of these alignment heads from the next step on. False: static shapes are captured."""
        if not isinstance(self._flow, FlowLMState):
            return False
        self._flow.heads = heads
        return True

    def close(self) -> None:
        self.decode_queue.close()

    def _decode(self, rows: tuple[Row, ...], step: StepOutput) -> list[Future[np.ndarray] | None]:
        """Queue the kept frames; None for each dropped one."""
        kept = []
        for i, row in enumerate(rows):
            if _exceeds_limit(row, step.attention[i]):
                self._drop_last(row.slot)
            elif not (row.held or row.given or row.discard or (row.discard_on_eos and step.is_eos[i])):
                kept.append(i)
        jobs = [FrameJob(rows[i].slot, rows[i].resets_codec, rows[i].due_s) for i in kept]
        audio: list[Future[np.ndarray] | None] = [None] * len(rows)
        for i, future in zip(kept, self.decode_queue.put(jobs, step.cues[kept]), strict=True):
            audio[i] = future
        return audio

    def _give(self, rows: tuple[Row, ...], step: StepOutput) -> None:
        """Replace what was made by what another engine has made."""
        for i, row in enumerate(rows):
            if row.given is not None:
                step.latents[i], step.is_eos[i] = row.given.latent, row.given.is_eos
                self._flow.give(row.slot, row.given.latent)

    def _rebuild_codec(self, rows: tuple[Row, ...]) -> None:
        """Have the last frames of resumed utterances decoded again, for the codec's state. Nobody waits for them."""
        for row in rows:
            if row.resumption is not None and len(history := row.resumption.history):
                first = row.resumption.decoded_frames - len(history)
                jobs = [FrameJob(row.slot, place == 0, row.due_s, first) for place in range(len(history))]
                self.decode_queue.put(jobs, self._denormalize(history))

    def _rewind(self, rows: tuple[Row, ...]) -> None:
        for row in rows:
            if row.rewind is not None:
                assert isinstance(self._flow, FlowLMState), "static shapes cannot go back"
                self._flow.rewind(row.slot, row.rewind.frames, torch.stack(list(row.rewind.latents)))
                if row.rewind.seed is not None:
                    self._noise[row.slot] = torch.Generator().manual_seed(row.rewind.seed)

    def _drop_last(self, slot: int) -> None:
        assert isinstance(self._flow, FlowLMState), "open segments need a CPU"
        self._flow.drop_last(slot)

    def _sampling_inputs(self, rows: tuple[Row, ...]) -> SamplingInputs:
        for row in rows:
            if row.fresh:
                self._noise[row.slot] = torch.Generator().manual_seed(row.sampling.seed)
            if row.resumption is not None:
                self._set_noise(row, row.resumption.noise)
        return SamplingInputs(
            torch.stack([self._draw_noise(row.slot, row.sampling) for row in rows]),
            [row.sampling.eos_threshold for row in rows],
            [row.sampling.decode_steps for row in rows],
        )

    def _set_noise(self, row: Row, position: NoisePosition) -> None:
        self._noise[row.slot] = torch.Generator().manual_seed(position.seed)
        for _ in range(position.draws):
            self._draw_noise(row.slot, row.sampling)

    def _draw_noise(self, slot: int, sampling: Sampling) -> Tensor:
        """Draw the noise of one frame `[dim]` from the utterance's own generator, independent of other rows."""
        noise = torch.zeros(self._flow.latents.shape[1])
        std = sampling.temperature**0.5
        bound = sampling.noise_clamp
        if std > 0 and bound is None:
            noise.normal_(0.0, std, generator=self._noise[slot])
        elif std > 0 and bound is not None:
            torch.nn.init.trunc_normal_(noise, 0.0, std, -bound, bound, generator=self._noise[slot])
        return noise


def _prompt(prefill: Prefill | None) -> Prompt | None:
    if prefill is None:
        return None
    return Prompt(prefill.voice, prefill.tokens, prefill.open, prefill.frames is not None)


def _exceeds_limit(row: Row, attention: np.ndarray | None) -> bool:
    """Return whether the frame belongs to a word that may not begin yet."""
    return row.word_limit is not None and attention is not None and row.word_limit.exceeded(attention)


def decode_threads(device: torch.device) -> int:
    """Return the number of codec workers: the cores that FlowLM's threads leave; one keeps an accelerator busy."""
    return 1 if uses_static_shapes(device) else max(1, usable_cores() // torch.get_num_threads())

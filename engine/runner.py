"""Tensor work of one step, on the engine's thread: prefill the rows that join, step the others, decode all frames.

Knows slots, not listeners; the frozen `Batch` says all that it needs.
"""

from collections import defaultdict
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from engine.mimi import MimiState
from engine.model import Model
from engine.scheduler import Batch, Join, Row
from engine.state import FlowLMState
from engine.utterance import Sampling
from engine.voice import Voice


@dataclass(frozen=True, slots=True)
class Output:
    """One entry for each row of the batch."""

    pcm: list[np.ndarray | None]  # float32 [samples] in [-1, 1]; None where the frame is discarded
    latents: Tensor  # [rows, dim], FlowLM's scale
    is_eos: list[bool]


class Runner:
    def __init__(self, model: Model) -> None:
        self._model = model
        self._flow = FlowLMState(model.flow_lm)
        self._codec = MimiState(model.mimi, model.device)
        self._noise: dict[int, torch.Generator] = {}

    @torch.inference_mode()
    def run(self, batch: Batch) -> Output:
        joining = [(row, row.join) for row in batch.rows if row.join is not None]
        going = [row.slot for row in batch.rows if row.join is None]
        z = []
        if joining:
            z.append(self._prefill(joining))
        if going:
            z.append(self._go_on(torch.tensor(going)))
        return self._speak(batch.rows, torch.cat(z))

    @torch.inference_mode()
    def snapshot(self, slot: int) -> Voice:
        """What FlowLM holds of a slot, as a voice to go on from."""
        return self._flow.snapshot(slot)

    def _go_on(self, slots: Tensor) -> Tensor:
        """One more frame behind the last latents; what the heads read."""
        flow_lm = self._model.flow_lm
        latents = flow_lm.embed_latents(self._flow.latents[slots])[:, None]  # [rows, 1, width]
        return self._flow.forward(flow_lm, slots, latents, torch.ones_like(slots))

    def _prefill(self, joining: list[tuple[Row, Join]]) -> Tensor:
        """Voice and text of the rows that begin a segment; what the heads read for its first frame."""
        slots = max(row.slot for row, _ in joining) + 1
        self._codec.reserve(slots)
        self._flow.reserve(slots)
        for row, join in joining:
            if join.fresh:
                self._codec.reset(row.slot)
                self._noise[row.slot] = torch.Generator().manual_seed(row.sampling.seed)
            if join.voice is not None:
                self._flow.load_voice(row.slot, join.voice)
        flow_lm, device = self._model.flow_lm, self._model.device
        texts = [flow_lm.embed_text(torch.tensor(join.tokens, device=device)) for _, join in joining]
        lengths = torch.tensor([len(text) for text in texts])
        x = torch.nn.utils.rnn.pad_sequence(texts, batch_first=True)  # [rows, longest, width]
        return self._flow.forward(flow_lm, torch.tensor([row.slot for row, _ in joining]), x, lengths)

    def _speak(self, rows: tuple[Row, ...], z: Tensor) -> Output:
        """Heads and codec: one frame for each row."""
        flow_lm = self._model.flow_lm
        thresholds = torch.tensor([row.sampling.eos_threshold for row in rows], device=z.device)
        is_eos: list[bool] = (flow_lm.end_of_speech(z) > thresholds).tolist()
        latents = self._sample(rows, z)
        slots = torch.tensor([row.slot for row in rows])
        self._flow.latents[slots] = latents
        kept = [i for i, row in enumerate(rows) if not (row.discard or (row.discard_on_eos and is_eos[i]))]
        pcm: list[np.ndarray | None] = [None] * len(rows)
        if kept:
            frames = self._model.mimi.decode(flow_lm.denormalize(latents[kept]), self._codec, slots[kept])
            for i, frame in zip(kept, frames.cpu().numpy(), strict=True):
                pcm[i] = frame
        return Output(pcm, latents, is_eos)

    def _sample(self, rows: tuple[Row, ...], z: Tensor) -> Tensor:
        """Latents `[rows, dim]`; rows of one number of decode steps go through the head together."""
        noise = torch.stack([self._draw(row.slot, row.sampling) for row in rows]).to(z.device)
        groups = defaultdict(list)
        for i, row in enumerate(rows):
            groups[row.sampling.decode_steps].append(i)
        latents = torch.empty_like(noise)
        for decode_steps, members in groups.items():
            latents[members] = self._model.flow_lm.sample(z[members], noise[members], decode_steps)
        return latents

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

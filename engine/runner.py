"""Tensor work of one step: prefill the rows that join, step the others, decode all frames.

FlowLM makes the next latents on the engine's thread while the codec, on another, decodes those before: each network
has a core. Knows slots, not listeners; the frozen `Batch` says all that it needs.
"""

from collections import defaultdict
from concurrent.futures import Future, ThreadPoolExecutor, wait
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
    """What one step made of the rows of its batch."""

    latents: Tensor  # [rows, dim], FlowLM's scale
    is_eos: list[bool]
    kept: list[int]  # rows whose frame counts
    sound: Future[list[np.ndarray]]  # for each of these float32 [samples] in [-1, 1], once it is decoded


class Runner:
    """FlowLM's state belongs to the thread that calls `run`, the codec's to a thread of its own."""

    def __init__(self, model: Model) -> None:
        self._model = model
        self._codec_thread = ThreadPoolExecutor(1, "codec")
        self._sound: Future[list[np.ndarray]] | None = None
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

    def close(self) -> None:
        self._codec_thread.shutdown(wait=True)

    def _go_on(self, slots: Tensor) -> Tensor:
        """One more frame behind the last latents; what the heads read."""
        flow_lm = self._model.flow_lm
        latents = flow_lm.embed_latents(self._flow.latents[slots])[:, None]  # [rows, 1, width]
        return self._flow.forward(flow_lm, slots, latents, torch.ones_like(slots))

    def _prefill(self, joining: list[tuple[Row, Join]]) -> Tensor:
        """Voice and text of the rows that begin a segment; what the heads read for its first frame."""
        self._flow.reserve(max(row.slot for row, _ in joining) + 1)
        for row, join in joining:
            if join.fresh:
                self._noise[row.slot] = torch.Generator().manual_seed(row.sampling.seed)
            if join.voice is not None:
                self._flow.load_voice(row.slot, join.voice)
        flow_lm, device = self._model.flow_lm, self._model.device
        texts = [flow_lm.embed_text(torch.tensor(join.tokens, device=device)) for _, join in joining]
        lengths = torch.tensor([len(text) for text in texts])
        x = torch.nn.utils.rnn.pad_sequence(texts, batch_first=True)  # [rows, longest, width]
        return self._flow.forward(flow_lm, torch.tensor([row.slot for row, _ in joining]), x, lengths)

    def _speak(self, rows: tuple[Row, ...], z: Tensor) -> Output:
        """Heads: one latent for each row. The codec goes on with them while the next step is made."""
        flow_lm = self._model.flow_lm
        thresholds = torch.tensor([row.sampling.eos_threshold for row in rows], device=z.device)
        is_eos: list[bool] = (flow_lm.end_of_speech(z) > thresholds).tolist()
        latents = self._sample(rows, z)
        self._flow.latents[torch.tensor([row.slot for row in rows])] = latents
        kept = [i for i, row in enumerate(rows) if not (row.discard or (row.discard_on_eos and is_eos[i]))]
        if self._sound is not None:
            wait([self._sound])  # one step ahead of the codec and no more
        self._sound = self._codec_thread.submit(self._decode, rows, kept, flow_lm.denormalize(latents[kept]))
        return Output(latents, is_eos, kept, self._sound)

    @torch.inference_mode()
    def _decode(self, rows: tuple[Row, ...], kept: list[int], latents: Tensor) -> list[np.ndarray]:
        """The codec thread's part: one frame for each row that is kept."""
        self._codec.reserve(max(row.slot for row in rows) + 1)
        for row in rows:
            if row.join is not None and row.join.fresh:
                self._codec.reset(row.slot)
        if not kept:
            return []
        slots = torch.tensor([rows[i].slot for i in kept])
        return list(self._model.mimi.decode(latents, self._codec, slots).cpu().numpy())

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

"""FlowLM's memory for a number of slots: keys and values, the last latent, which voice lies at the row's beginning.

A slot's row holds the voice, then the segment's text, then its frames. A voice that is already there is not copied
again: the next segment only goes back to the voice's end. (The codec's memory is `mimi.MimiState`.)
"""

import torch
from torch import Tensor

from engine.flow_lm import FlowLM
from engine.voice import Voice


class FlowLMState:
    def __init__(self, flow_lm: FlowLM) -> None:
        self.cache = flow_lm.new_cache()
        self.latents = flow_lm.bos_emb.new_zeros(0, flow_lm.bos_emb.shape[0])  # [slots, dim], the last of each
        self._voices: list[Voice | None] = []

    def reserve(self, slots: int) -> None:
        self.cache.reserve(slots, 0)
        new = self.cache.slots - len(self._voices)
        if new > 0:
            self.latents = torch.cat([self.latents, self.latents.new_zeros(new, self.latents.shape[1])])
            self._voices += [None] * new

    def load_voice(self, slot: int, voice: Voice) -> None:
        """Put the row behind the end of `voice`."""
        if self._voices[slot] is not voice:
            self.cache.reserve(0, voice.positions)
            self.cache.keys[:, slot, :, : voice.positions] = voice.keys.to(self.cache.keys.device)
            self.cache.values[:, slot, :, : voice.positions] = voice.values.to(self.cache.keys.device)
            self._voices[slot] = voice
        self.cache.positions[slot] = voice.positions

    def snapshot(self, slot: int) -> Voice:
        """All that the row holds now, as a voice of its own."""
        end = int(self.cache.positions[slot])
        keys, values = self.cache.keys[:, slot, :, :end], self.cache.values[:, slot, :, :end]
        return Voice(keys.cpu().clone(), values.cpu().clone())

    def forward(self, flow_lm: FlowLM, slots: Tensor, x: Tensor, lengths: Tensor) -> Tensor:
        """Go on behind the rows of `slots` with `x` `[rows, length, width]`; what the heads read at each one's end.

        Rows shorter than the longest are filled up at their end. What that writes lies ahead of the row's position,
        where it is overwritten before anything can see it.
        """
        self.cache.reserve(0, int(self.cache.positions[slots].max()) + x.shape[1])
        z: Tensor = flow_lm(x, self.cache.span(slots, x.shape[1]))  # [rows, length, output_dim]
        self.cache.advance(slots, lengths)
        return z[torch.arange(len(slots)), lengths - 1]

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

    def reserve(self, slots: int, positions: int) -> None:
        new = slots - len(self._voices)
        self.cache.reserve(slots, positions)
        if new > 0:
            self.latents = torch.cat([self.latents, self.latents.new_zeros(new, self.latents.shape[1])])
            self._voices += [None] * new

    def position(self, slot: int) -> int:
        return int(self.cache.positions[slot])

    def load_voice(self, slot: int, voice: Voice) -> None:
        """Put the row behind the end of `voice`."""
        if self._voices[slot] is not voice:
            self.cache.keys[:, slot, :, : voice.positions] = voice.keys.to(self.cache.keys.device)
            self.cache.values[:, slot, :, : voice.positions] = voice.values.to(self.cache.keys.device)
            self._voices[slot] = voice
        self.cache.positions[slot] = voice.positions

    def snapshot(self, slot: int) -> Voice:
        """All that the row holds now, as a voice of its own."""
        end = self.position(slot)
        keys, values = self.cache.keys[:, slot, :, :end], self.cache.values[:, slot, :, :end]
        return Voice(keys.cpu().clone(), values.cpu().clone())

    def forward_rows(self, flow_lm: FlowLM, slots: list[int], parts: list[Tensor]) -> Tensor:
        """Run parts `[length, width]` of different lengths behind their rows; the output at each one's end.

        Shorter parts are filled up at their end. What that writes lies ahead of the row's position, where it is
        overwritten before anything can see it.
        """
        lengths = torch.tensor([len(part) for part in parts])
        rows = torch.tensor(slots)
        padded = torch.nn.utils.rnn.pad_sequence(parts, batch_first=True)  # [rows, longest, width]
        z: Tensor = flow_lm(padded, self.cache.span(rows, padded.shape[1]))
        self.cache.advance(rows, lengths)
        return z[torch.arange(len(parts)), lengths - 1]

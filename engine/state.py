"""FlowLM's memory for a number of slots: keys and values, the last latent.

A slot's past is the voice, which all who speak with it share, then the segment's text, then its frames. The next
segment only goes back to the voice's end. (The codec's memory is `mimi.MimiState`.)
"""

from weakref import WeakKeyDictionary

import torch
from torch import Tensor

from engine.cache import Prefix
from engine.flow_lm import FlowLM
from engine.voice import Voice


class FlowLMState:
    def __init__(self, flow_lm: FlowLM, slots: int) -> None:
        self.cache = flow_lm.new_cache(slots)
        self.latents = torch.zeros(slots, len(flow_lm.bos_emb), device=flow_lm.bos_emb.device)  # the last of each
        self._prefixes: WeakKeyDictionary[Voice, Prefix] = WeakKeyDictionary()

    def load_voice(self, slot: int, voice: Voice) -> None:
        """Put the row behind the end of `voice`."""
        if voice not in self._prefixes:
            keys, values = (part.to(self.cache.device, self.cache.dtype) for part in (voice.keys, voice.values))
            self._prefixes[voice] = Prefix(keys, values)
        self.cache.begin(slot, self._prefixes[voice])

    def snapshot(self, slot: int) -> Voice:
        """All that the row holds now, as a voice of its own."""
        whole = self.cache.whole(slot)
        return Voice(whole.keys.float().cpu(), whole.values.float().cpu())

    def forward(self, flow_lm: FlowLM, slots: Tensor, x: Tensor, lengths: Tensor) -> Tensor:
        """Go on behind the rows of `slots` with `x` `[rows, length, width]`; what the heads read at each one's end.

        Rows shorter than the longest are filled up at their end. What that writes lies ahead of the row's position,
        where it is overwritten before anything can see it.
        """
        x = flow_lm(x, self.cache.span(slots, x.shape[1]))  # [rows, length, width]
        self.cache.advance(slots, lengths)
        return flow_lm.read(x[torch.arange(len(slots)), lengths - 1])

"""FlowLM's memory for a number of slots, and its steps: keys and values, the last latent.

A slot's past is the voice, which all who speak with it share, then the segment's text, then its frames. The next
segment only goes back to the voice's end. (The codec's memory is `mimi.MimiState`.)
"""

from collections import defaultdict
from dataclasses import dataclass
from weakref import WeakKeyDictionary

import torch
from torch import Tensor

from engine.cache import KeyValueCache, Prefix
from engine.flow_lm import FlowLM
from engine.voice import Voice

LENGTH_STEP = 4  # tokens


@dataclass(frozen=True, slots=True, eq=False)
class Opening:
    """What a row says before its speech begins: behind this voice (None: behind where it is), this text."""

    voice: Voice | None
    tokens: tuple[int, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Draws:
    """How the latents of a step are drawn, row by row."""

    noise: Tensor  # [rows, dim], on the CPU
    thresholds: list[float]
    decode_steps: list[int]


@dataclass(frozen=True, slots=True, eq=False)
class Spoken:
    """What FlowLM said in a step, row by row."""

    latents: Tensor  # [rows, dim], FlowLM's scale
    cues: Tensor  # [rows, dim], the codec's
    is_eos: list[bool]


class FlowLMState:
    def __init__(self, flow_lm: FlowLM, slots: int) -> None:
        self._flow_lm = flow_lm
        self.cache = KeyValueCache(flow_lm.cache_shape, slots)
        self.latents = torch.zeros(slots, len(flow_lm.bos_emb), device=flow_lm.bos_emb.device)  # the last of each
        self._prefixes: WeakKeyDictionary[Voice, Prefix] = WeakKeyDictionary()

    def load_voice(self, slot: int, voice: Voice) -> None:
        """Put the row behind the end of `voice`."""
        if voice not in self._prefixes:
            keys, values = (
                part.to(self.cache.shape.device, self.cache.shape.dtype) for part in (voice.keys, voice.values)
            )
            self._prefixes[voice] = Prefix(keys, values)
        self.cache.begin(slot, self._prefixes[voice])

    def snapshot(self, slot: int) -> Voice:
        """All that the row holds now, as a voice of its own."""
        whole = self.cache.whole(slot)
        return Voice(whole.keys.float().cpu(), whole.values.float().cpu())

    def step(self, slots: list[int], openings: list[Opening], draws: Draws) -> Spoken:
        """One frame more for each row: the first behind its opening, or, where there are none, the next."""
        rows = torch.tensor(slots)
        return self._speak(rows, self._open(slots, openings) if openings else self._go_on(rows), draws)

    def forward(self, slots: Tensor, x: Tensor, lengths: Tensor) -> Tensor:
        """Go on behind the rows of `slots` with `x` `[rows, length, width]`; what the heads read at each one's end.

        Rows shorter than the longest are filled up at their end. What that writes lies ahead of the row's position,
        where it is overwritten before anything can see it.
        """
        x = self._flow_lm(x, self.cache.span(slots, x.shape[1]))  # [rows, length, width]
        self.cache.advance(slots, lengths)
        return self._flow_lm.read(x[torch.arange(len(slots)), lengths - 1])

    def _open(self, slots: list[int], openings: list[Opening]) -> Tensor:
        """Voices and texts; what the heads read for the first frames."""
        for slot, opening in zip(slots, openings, strict=True):
            if opening.voice is not None:
                self.load_voice(slot, opening.voice)
        device = self.latents.device
        texts = [self._flow_lm.embed_text(torch.tensor(opening.tokens, device=device)) for opening in openings]
        lengths = torch.tensor([len(text) for text in texts])
        nothing = texts[0].new_zeros(_rounded(int(lengths.max())), texts[0].shape[1])
        x = torch.nn.utils.rnn.pad_sequence([*texts, nothing], batch_first=True)[:-1]  # [rows, longest or more, width]
        return self.forward(torch.tensor(slots), x, lengths)

    def _go_on(self, slots: Tensor) -> Tensor:
        """One more frame behind the last latents; what the heads read."""
        latents = self._flow_lm.embed_latents(self.latents[slots])[:, None]  # [rows, 1, width]
        return self.forward(slots, latents, torch.ones_like(slots))

    def _speak(self, slots: Tensor, z: Tensor, draws: Draws) -> Spoken:
        """Heads; rows of one number of decode steps go through them together."""
        flow_lm, noise = self._flow_lm, draws.noise.to(z.device)
        is_eos: list[bool] = (flow_lm.end_of_speech(z) > torch.tensor(draws.thresholds, device=z.device)).tolist()
        groups = defaultdict(list)
        for row, decode_steps in enumerate(draws.decode_steps):
            groups[decode_steps].append(row)
        latents = torch.empty_like(noise)
        for decode_steps, members in groups.items():
            latents[members] = flow_lm.sample(z[members], noise[members], decode_steps)
        self.latents[slots] = latents
        return Spoken(latents, flow_lm.denormalize(latents), is_eos)


def _rounded(length: int) -> int:
    """oneDNN compiles its products for each length anew: 5 ms and 3.5 MB the first time. So there are few lengths."""
    return -(-length // LENGTH_STEP) * LENGTH_STEP

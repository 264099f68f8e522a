"""FlowLM's memory for a number of slots on a processor, and its steps: keys and values, the last latent.

A slot's past is the voice, which all who speak with it share, then the segment's text, then its frames. The next
segment only goes back to the voice's end. (The codec's memory is `mimi.MimiState`.)
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from weakref import WeakKeyDictionary

import numpy as np
import torch
from torch import Tensor

from sayline_tts.engine.cache.kv_cache import KeyValueCache, Prefix
from sayline_tts.engine.checkpoint.alignment_heads import AlignmentHeads
from sayline_tts.engine.kernels.attention_capture import Watch
from sayline_tts.engine.models.flow_lm import FlowLM
from sayline_tts.engine.models.voice import Voice


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

    def of(self, rows: list[int]) -> "Draws":
        """Of these alone."""
        thresholds, decode_steps = [self.thresholds[row] for row in rows], [self.decode_steps[row] for row in rows]
        return Draws(self.noise[rows], thresholds, decode_steps)


@dataclass(frozen=True, slots=True, eq=False)
class Spoken:
    """What FlowLM said in a step, row by row."""

    latents: Tensor  # [rows, dim], FlowLM's scale
    cues: Tensor  # [rows, dim], the codec's
    is_eos: list[bool]
    attention: list[
        np.ndarray | None
    ]  # [tokens] each, adds up to 1: where the frame looks in its text; None: not asked

    @classmethod
    def joined(cls, parts: "list[Spoken]", rows: list[list[int]]) -> "Spoken":
        """Of passes over some rows each, in the order of all."""
        place = {row: (part, at) for part, of in zip(parts, rows, strict=True) for at, row in enumerate(of)}
        each = [place[row] for row in range(len(place))]
        return cls(
            torch.stack([part.latents[at] for part, at in each]),
            torch.stack([part.cues[at] for part, at in each]),
            [part.is_eos[at] for part, at in each],
            [part.attention[at] for part, at in each],
        )


class FlowLMState:
    def __init__(
        self, flow_lm: FlowLM, slots: int, heads: AlignmentHeads | None = None, each_head: bool = False
    ) -> None:
        """`heads`: those that say where in its text a row is; None: nobody will ask. `each_head`: each for itself."""
        self._flow_lm, self._heads, self._each_head = flow_lm, heads, each_head
        self.cache = KeyValueCache(flow_lm.cache_shape, slots)
        self.latents = torch.zeros(slots, len(flow_lm.bos_emb))  # the last of each
        self._prefixes: WeakKeyDictionary[Voice, Prefix] = WeakKeyDictionary()

    def load_voice(self, slot: int, voice: Voice) -> None:
        """Put the row behind the end of `voice`."""
        if voice not in self._prefixes:
            keys, values = (part.to(self.cache.shape.dtype).contiguous() for part in (voice.keys, voice.values))
            self._prefixes[voice] = Prefix(keys, values)
        self.cache.begin(slot, self._prefixes[voice])

    def snapshot(self, slot: int) -> Voice:
        """All that the row holds now, as a voice of its own."""
        whole = self.cache.whole(slot)
        return Voice.of(whole.keys, whole.values)

    def step(
        self, slots: list[int], openings: Sequence[Opening | None], draws: Draws, text_lengths: Sequence[int] = ()
    ) -> Spoken:
        """One frame more for each row: the first behind its opening or, where that is None, the next.

        `text_lengths`: tokens of the text that each row speaks, where it is asked how it looks at them; else 0.
        """
        rows = torch.tensor(slots)
        ask = None
        if self._heads is not None and any(text_lengths):
            ask = _Question(self._heads, text_lengths, self._each_head)
        z = self.forward(rows, *self._input(slots, openings), ask)
        return self._speak(rows, z, draws, ask.answer() if ask else [None] * len(slots))

    def forward(self, slots: Tensor, x: Tensor, lengths: Tensor, ask: "_Question | None" = None) -> Tensor:
        """Go on behind the rows of `slots` with `x` `[positions, width]`, `lengths` of them for each row, packed; what
        the heads read at each one's end.
        """
        span = self.cache.span(slots, lengths)
        if ask is not None:
            span = replace(span, watch=ask.watch)
        x = self._flow_lm(x, span)  # [positions, width]
        self.cache.advance(slots, lengths)
        return self._flow_lm.read(x[lengths.cumsum(0) - 1])

    def _input(self, slots: list[int], openings: Sequence[Opening | None]) -> tuple[Tensor, Tensor]:
        """All rows' vectors `[positions, width]`, and how many each has: a text behind a voice, or the last latent."""
        vectors = list(self._flow_lm.embed_latents(self.latents[slots]).split(1))  # of who goes on; [1, width] each
        for row, (slot, opening) in enumerate(zip(slots, openings, strict=True)):
            if opening is not None:
                if opening.voice is not None:
                    self.load_voice(slot, opening.voice)
                vectors[row] = self._flow_lm.embed_text(torch.tensor(opening.tokens, dtype=torch.long))
        return torch.cat(vectors), torch.tensor([len(each) for each in vectors])

    def _speak(self, slots: Tensor, z: Tensor, draws: Draws, attention: list[np.ndarray | None]) -> Spoken:
        """Heads; rows of one number of decode steps go through them together."""
        flow_lm, noise = self._flow_lm, draws.noise
        is_eos: list[bool] = (flow_lm.end_of_speech(z) > torch.tensor(draws.thresholds)).tolist()
        groups = defaultdict(list)
        for row, decode_steps in enumerate(draws.decode_steps):
            groups[decode_steps].append(row)
        latents = torch.empty_like(noise)
        for decode_steps, members in groups.items():
            latents[members] = flow_lm.sample(z[members], noise[members], decode_steps)
        self.latents[slots] = latents
        return Spoken(latents, flow_lm.denormalize(latents), is_eos, attention)


class _Question:
    """Where in their text do rows look? `lengths` in tokens; 0: this row is not asked."""

    def __init__(self, heads: AlignmentHeads, lengths: Sequence[int], each_head: bool) -> None:
        self._lengths, self._each_head = lengths, each_head
        self.watch = Watch(heads.by_layer, asked_rows(lengths), max(lengths))

    def answer(self) -> list[np.ndarray | None]:
        """After the pass, row by row, as `attention`; heads are in the order of their layers."""
        return attention(torch.stack(self.watch.scores), self._lengths, self._each_head)


def asked_rows(lengths: Sequence[int]) -> list[int]:
    return [row for row, length in enumerate(lengths) if length]


def attention(scores: Tensor, lengths: Sequence[int], each_head: bool = False) -> list[np.ndarray | None]:
    """Row by row, over the tokens of the text alone: the mean of the heads, `[tokens]`, or of each, `[heads, tokens]`.

    `lengths` in tokens; 0: this row was not asked. `scores` `[heads, asked, width]`, of the others.
    """
    rows = asked_rows(lengths)
    behind = torch.arange(scores.shape[2]) >= torch.tensor([lengths[row] for row in rows])[:, None]
    weights = scores.masked_fill(behind, -torch.inf).softmax(dim=-1)
    of_rows = (weights.transpose(0, 1) if each_head else weights.mean(dim=0)).numpy()
    told: list[np.ndarray | None] = [None] * len(lengths)
    for row, of_row in zip(rows, of_rows, strict=True):
        told[row] = of_row[..., : lengths[row]]
    return told

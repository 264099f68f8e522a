"""FlowLM's state for a number of slots on a CPU, and its steps: KV cache and last latents.

A slot's sequence is the voice (a prefix shared by all slots that use it), the segment's text, then its frames. The next
segment starts again at the end of the voice. The codec's state is `mimi.MimiState`.
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from weakref import WeakKeyDictionary

import numpy as np
import torch
from torch import Tensor

from sayline_tts.engine.cache.kv_cache import KVCache, Prefix
from sayline_tts.engine.checkpoint.alignment_heads import AlignmentHeads
from sayline_tts.engine.kernels.attention_capture import AttentionCapture
from sayline_tts.engine.models.flow_lm import FlowLM
from sayline_tts.engine.models.voice import Voice


@dataclass(frozen=True, slots=True, eq=False)
class Prompt:
    """What a row prefills before its speech: a voice (None: continue behind the current position) and a text.

    `open`: the text may be extended, so the latents of the row are kept. `extends`: the latents kept so far follow the
    text, and speech continues behind them.
    """

    voice: Voice | None
    tokens: tuple[int, ...]
    open: bool = False
    extends: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class SamplingInputs:
    """Sampling parameters of a step, row by row."""

    noise: Tensor  # [rows, dim], on the CPU
    thresholds: list[float]
    decode_steps: list[int]

    def select(self, rows: list[int]) -> "SamplingInputs":
        """The same for some of the rows."""
        thresholds, decode_steps = [self.thresholds[row] for row in rows], [self.decode_steps[row] for row in rows]
        return SamplingInputs(self.noise[rows], thresholds, decode_steps)


@dataclass(frozen=True, slots=True, eq=False)
class StepOutput:
    """Output of a step, row by row."""

    latents: Tensor  # [rows, dim], FlowLM's scale
    cues: Tensor  # [rows, dim], the codec's
    is_eos: list[bool]
    attention: list[
        np.ndarray | None
    ]  # [tokens] each, sums to 1: attention of the frame over its text; None: not requested

    @classmethod
    def merge(cls, parts: "list[StepOutput]", rows: list[list[int]]) -> "StepOutput":
        """Merge the outputs of passes over disjoint rows into the order of all rows."""
        place = {row: (part, at) for part, of in zip(parts, rows, strict=True) for at, row in enumerate(of)}
        each = [place[row] for row in range(len(place))]
        return cls(
            torch.stack([part.latents[at] for part, at in each]),
            torch.stack([part.cues[at] for part, at in each]),
            [part.is_eos[at] for part, at in each],
            [part.attention[at] for part, at in each],
        )


class FlowLMState:
    """Rows of FlowLM state, one per slot. `step` runs any subset of them as one batch."""

    def __init__(
        self, flow_lm: FlowLM, slots: int, heads: AlignmentHeads | None = None, each_head: bool = False
    ) -> None:
        """`heads`: the alignment heads, whose attention over the text a step can return; None: never. `each_head`:
        return the weights of each head instead of their mean.
        """
        self._flow_lm, self.heads, self._each_head = flow_lm, heads, each_head
        self.cache = KVCache(flow_lm.cache_shape, slots)
        self.latents = torch.zeros(slots, len(flow_lm.bos_emb))  # the last of each slot
        self._kept_latents: dict[int, list[Tensor]] = {}  # of slots whose text is open: all since its beginning
        self._replays: dict[int, Tensor] = {}  # of slots that went back: the latents that their next step runs
        self._prefixes: WeakKeyDictionary[Voice, Prefix] = WeakKeyDictionary()

    def load_voice(self, slot: int, voice: Voice) -> None:
        """Reset a slot to the end of `voice`."""
        if voice not in self._prefixes:
            keys, values = (part.to(self.cache.shape.dtype).contiguous() for part in (voice.keys, voice.values))
            self._prefixes[voice] = Prefix(keys, values)
        self.cache.reset(slot, self._prefixes[voice])

    def snapshot(self, slot: int) -> Voice:
        """Export everything the slot holds as a new voice."""
        prefix = self.cache.export_prefix(slot)
        return Voice.from_cache(prefix.keys, prefix.values)

    def drop_last(self, slot: int) -> None:
        """Forget the last latent of a slot whose text is open. The slot's next step has to extend its text."""
        self._kept_latents[slot].pop()

    def give(self, slot: int, latent: Tensor) -> None:
        """Put `latent` `[dim]` in the place of the one that the slot's last step has made."""
        self.latents[slot] = latent
        if slot in self._kept_latents:
            self._kept_latents[slot][-1] = latent

    def rewind(self, slot: int, frames: int, latents: Tensor) -> None:
        """Forget the last frames of a slot whose text is whole, so that its next step goes on behind `latents`.

        `latents` `[frames, dim]`: the one before the forgotten frames, then those that take their place.
        """
        self.cache.rewind(slot, frames)
        self._replays[slot] = latents

    def step(
        self,
        slots: list[int],
        prompts: Sequence[Prompt | None],
        sampling: SamplingInputs,
        text_lengths: Sequence[int] = (),
    ) -> StepOutput:
        """Run one frame for each row: the first behind its prompt or, where that is None, the next one.

        `text_lengths`: tokens of the text that each row speaks if its text attention is wanted, else 0.
        """
        rows = torch.tensor(slots)
        request = None
        if self.heads is not None and any(text_lengths):
            request = AttentionRequest(self.heads, text_lengths, self._each_head)
        z = self.forward(rows, *self._embed_inputs(slots, prompts), request)
        output = self._sample(rows, z, sampling, request.weights() if request else [None] * len(slots))
        for slot, latent in zip(slots, output.latents, strict=True):
            if slot in self._kept_latents:
                self._kept_latents[slot].append(latent)
        return output

    def forward(self, slots: Tensor, x: Tensor, lengths: Tensor, request: "AttentionRequest | None" = None) -> Tensor:
        """Run `x` `[positions, width]`, `lengths` of it for each of `slots`, packed; return the heads' inputs for the
        last position of each row, `[rows, output_dim]`.
        """
        metadata = self.cache.attention_metadata(slots, lengths)
        if request is not None:
            metadata = replace(metadata, capture=request.capture)
        x = self._flow_lm(x, metadata)  # [positions, width]
        self.cache.advance(slots, lengths)
        return self._flow_lm.project_output(x[lengths.cumsum(0) - 1])

    def _embed_inputs(self, slots: list[int], prompts: Sequence[Prompt | None]) -> tuple[Tensor, Tensor]:
        """Embeddings of all rows, packed, `[positions, width]`, and the length of each row: a prompt's text, or the
        last latent.
        """
        vectors = list(self._flow_lm.embed_latents(self.latents[slots]).split(1))  # of decode rows; [1, width] each
        for row, (slot, prompt) in enumerate(zip(slots, prompts, strict=True)):
            if (replay := self._replays.pop(slot, None)) is not None:
                vectors[row] = self._flow_lm.embed_latents(replay)
            elif prompt is not None:
                if prompt.voice is not None:
                    self.load_voice(slot, prompt.voice)
                vectors[row] = self._embed_prompt(slot, prompt)
        return torch.cat(vectors), torch.tensor([len(each) for each in vectors])

    def _embed_prompt(self, slot: int, prompt: Prompt) -> Tensor:
        """Embeddings `[positions, width]` of a text and, if it is an extension, of the latents kept so far."""
        latents = self._kept_latents.pop(slot, [])
        text = self._flow_lm.embed_text(torch.tensor(prompt.tokens, dtype=torch.long))
        if not prompt.extends:
            latents = []
        if prompt.open:
            self._kept_latents[slot] = latents
        return torch.cat([text, self._flow_lm.embed_latents(torch.stack(latents))]) if latents else text

    def _sample(
        self, slots: Tensor, z: Tensor, sampling: SamplingInputs, attention: list[np.ndarray | None]
    ) -> StepOutput:
        """Run the heads; rows with the same number of decode steps share a pass."""
        flow_lm, noise = self._flow_lm, sampling.noise
        is_eos: list[bool] = (flow_lm.eos_logits(z) > torch.tensor(sampling.thresholds)).tolist()
        rows_by_steps = defaultdict(list)
        for row, decode_steps in enumerate(sampling.decode_steps):
            rows_by_steps[decode_steps].append(row)
        latents = torch.empty_like(noise)
        for decode_steps, group_rows in rows_by_steps.items():
            latents[group_rows] = flow_lm.sample(z[group_rows], noise[group_rows], decode_steps)
        self.latents[slots] = latents
        return StepOutput(latents, flow_lm.denormalize(latents), is_eos, attention)


class AttentionRequest:
    """Captures where in their texts rows attend during one pass. `lengths` in tokens; 0: not requested for this row."""

    def __init__(self, heads: AlignmentHeads, lengths: Sequence[int], each_head: bool) -> None:
        self._lengths, self._each_head = lengths, each_head
        self.capture = AttentionCapture(heads.by_layer, requested_rows(lengths), max(lengths))

    def weights(self) -> list[np.ndarray | None]:
        """Attention weights row by row after the pass; heads are in the order of their layers."""
        return text_attention(torch.stack(self.capture.scores), self._lengths, self._each_head)


def requested_rows(lengths: Sequence[int]) -> list[int]:
    """Rows whose text attention is requested."""
    return [row for row, length in enumerate(lengths) if length]


def text_attention(scores: Tensor, lengths: Sequence[int], each_head: bool = False) -> list[np.ndarray | None]:
    """Softmax of captured scores over each row's text: the mean of the heads, `[tokens]`, or each, `[heads, tokens]`.

    `lengths` in tokens; 0: not requested, None is returned. `scores` `[heads, requested rows, width]`.
    """
    rows = requested_rows(lengths)
    beyond_text = torch.arange(scores.shape[2]) >= torch.tensor([lengths[row] for row in rows])[:, None]
    weights = scores.masked_fill(beyond_text, -torch.inf).softmax(dim=-1)
    row_weights = (weights.transpose(0, 1) if each_head else weights.mean(dim=0)).numpy()
    result: list[np.ndarray | None] = [None] * len(lengths)
    for row, weights_of_row in zip(rows, row_weights, strict=True):
        result[row] = weights_of_row[..., : lengths[row]]
    return result

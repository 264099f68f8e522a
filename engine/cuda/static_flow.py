"""FlowLM's state and steps in static shapes, for accelerators: the counterpart of `FlowLMState`.

A step is two pieces of work: the backbone, over prompts (of any length, so it runs uncaptured) or over the last
latents; then the heads. Text attention, if requested, is a third. One wait at the end brings all results to the host.
"""

import logging
from collections.abc import Hashable, Iterator, Sequence
from functools import partial
from weakref import WeakKeyDictionary

import numpy as np
import torch

from sayline_tts.engine.cache.kv_cache import Prefix
from sayline_tts.engine.cache.static_pages import StaticPages
from sayline_tts.engine.checkpoint.alignment_heads import AlignmentHeads
from sayline_tts.engine.cuda.graphs import Graphs, StagingBuffer, Work, bucket, buckets, to_device
from sayline_tts.engine.cuda.static_attention_capture import StaticAttentionCapture
from sayline_tts.engine.models.flow_lm import FlowLM
from sayline_tts.engine.models.flow_lm_state import Prompt, SamplingInputs, StepOutput, requested_rows, text_attention
from sayline_tts.engine.models.voice import Voice

log = logging.getLogger(__name__)

CAPTURED_COLUMNS = (16, 8, 4)  # pages of the longest row in a pass, largest first; longer ones run uncaptured
CAPTURED_DECODE_STEPS = (1,)  # decode steps of a batch; others run uncaptured


class StaticFlow:
    """FlowLM state on the device, and its captured steps."""

    @torch.inference_mode()
    def __init__(self, flow_lm: FlowLM, slots: int, heads: AlignmentHeads | None = None) -> None:
        self._flow_lm, self._slots = flow_lm, slots
        self._device, dim = flow_lm.bos_emb.device, len(flow_lm.bos_emb)
        self.cache = StaticPages(flow_lm.cache_shape, slots)
        self.latents = torch.zeros(slots + 1, dim, device=self._device)  # the last of each slot
        self._prefixes: WeakKeyDictionary[Voice, Prefix] = WeakKeyDictionary()
        self._z = torch.zeros(slots, flow_lm.config.output_dim, device=self._device)
        buffer = partial(StagingBuffer, slots, device=self._device)
        self._slots_in, self._steps_in = buffer((), torch.long), buffer((), torch.long)
        self._noise_in, self._thresholds_in = buffer((dim,), torch.float32), buffer((), torch.float32)
        self._latents_out, self._cues_out = buffer((dim,), torch.float32), buffer((dim,), torch.float32)
        self._eos_out = buffer((), torch.bool)
        query_heads = flow_lm.config.transformer.num_heads
        self._capture = StaticAttentionCapture(heads, query_heads, self.cache, self._slots_in.device_rows)
        self._graphs = Graphs(self._device)
        self._slots_in.upload(torch.full((slots,), self.cache.scratch_slot))
        self._graphs.capture(self._graphs_to_capture())
        self._reallocations = self.cache.reallocations

    @torch.inference_mode()
    def snapshot(self, slot: int) -> Voice:
        """Export everything the slot holds as a new voice."""
        with self._graphs.step():
            prefix = self.cache.export_prefix(slot)
            return Voice.from_cache(prefix.keys, prefix.values)

    @torch.inference_mode()
    def give(self, slot: int, latent: torch.Tensor) -> None:
        """As `FlowLMState.give`."""
        with self._graphs.step():
            self.latents[slot] = latent.to(self._device)

    @torch.inference_mode()
    def step(
        self,
        slots: list[int],
        prompts: Sequence[Prompt | None],
        sampling: SamplingInputs,
        text_lengths: Sequence[int] = (),
    ) -> StepOutput:
        """As `FlowLMState.step`. Prefill rows and decode rows are separate passes."""
        parts = [
            [row for row, prompt in enumerate(prompts) if (prompt is None) is is_decode] for is_decode in (True, False)
        ]
        if not all(parts):
            return self._step(slots, [each for each in prompts if each is not None], sampling, text_lengths)
        outputs = [
            self._step(
                [slots[row] for row in rows],
                [prompt for row in rows if (prompt := prompts[row]) is not None],
                sampling.select(rows),
                [text_lengths[row] for row in rows] if text_lengths else (),
            )
            for rows in parts
        ]
        return StepOutput.merge(outputs, parts)

    def _step(
        self, slots: list[int], prompts: list[Prompt], sampling: SamplingInputs, text_lengths: Sequence[int]
    ) -> StepOutput:
        """Run rows that all prefill or all decode."""
        count, rows = len(slots), bucket(len(slots), self._slots)
        with self._graphs.step():
            self._slots_in.upload(torch.tensor(slots + [self.cache.scratch_slot] * (rows - count)))
            if prompts:
                self._prefill(slots, prompts)
            else:
                columns = bucket(self._reserve(slots, [1] * count), self.cache.columns)
                columns = max(columns, CAPTURED_COLUMNS[-1])
                self._graphs.run(("decode", rows, columns), partial(self._decode, rows, columns))
            self._noise_in.upload(sampling.noise)
            self._thresholds_in.upload(torch.tensor(sampling.thresholds))
            self._steps_in.upload(torch.tensor(sampling.decode_steps))
            step_counts = tuple(sorted(set(sampling.decode_steps)))
            self._graphs.run(("sample", rows, step_counts), partial(self._sample, rows, step_counts))
            if width := self._capture.score_width(text_lengths):
                self._graphs.run(("attention", rows, width), partial(self._capture.compute_scores, rows, width))
                scores = self._capture.download(count, width)
            latents, cues, is_eos = (out.download(count) for out in (self._latents_out, self._cues_out, self._eos_out))
        attention: list[np.ndarray | None] = [None] * count
        if width:
            attention = text_attention(scores[:, requested_rows(text_lengths)], text_lengths)
        return StepOutput(latents.clone(), cues.clone(), is_eos.tolist(), attention)

    def _prefill(self, slots: list[int], prompts: list[Prompt]) -> None:
        """Run voices and texts of all rows at once; shorter texts are padded at their end."""
        flow_lm, cache = self._flow_lm, self.cache
        for slot, prompt in zip(slots, prompts, strict=True):
            if prompt.voice is not None:
                cache.reset(slot, self._prefix(prompt.voice))
        lengths = [len(prompt.tokens) + 1 for prompt in prompts]  # and the begin-of-speech marker
        padded = torch.zeros(len(slots), max(lengths), dtype=torch.long)
        for row, prompt in zip(padded, prompts, strict=True):
            row[: len(prompt.tokens)] = torch.tensor(prompt.tokens, dtype=torch.long)
        columns = self._reserve(slots, lengths)
        tokens, ends = to_device(padded, self._device), to_device(torch.tensor(lengths), self._device)
        slots_on_device, rows = self._slots_in.device_rows[: len(slots)], torch.arange(len(slots), device=self._device)
        x = flow_lm.conditioner(tokens)  # [rows, longest, width]
        x[rows, ends - 1] = flow_lm.embed_latents(flow_lm.bos_emb).to(x.dtype)
        self._capture.mark_text_start(len(slots))
        metadata = self._capture.capturing(
            cache.attention_metadata(slots_on_device, x.shape[1], columns), (rows, ends - 1)
        )
        x = flow_lm(x.to(flow_lm.dtype), metadata)
        cache.advance(slots_on_device, ends)
        self._z[: len(slots)] = flow_lm.project_output(x[rows, ends - 1])

    def _decode(self, rows: int, columns: int) -> None:
        """Run the last latents."""
        slots = self._slots_in.device_rows[:rows]
        x = self._flow_lm.embed_latents(self.latents.index_select(0, slots))[:, None]  # [rows, 1, width]
        x = self._flow_lm(
            x, self._capture.capturing(self.cache.attention_metadata(slots, 1, columns), (slice(None), 0))
        )
        self.cache.advance(slots, 1)
        self._z[:rows].copy_(self._flow_lm.project_output(x[:, 0]))

    def _sample(self, rows: int, step_counts: tuple[int, ...]) -> None:
        """Run the heads. With several step counts, all rows take all of them and keep their own."""
        flow_lm, z, noise = self._flow_lm, self._z[:rows], self._noise_in.device_rows[:rows]
        latents = flow_lm.sample(z, noise, step_counts[0])
        for step_count in step_counts[1:]:
            has_step_count = self._steps_in.device_rows[:rows, None] == step_count
            latents = torch.where(has_step_count, flow_lm.sample(z, noise, step_count), latents)
        self.latents.index_copy_(0, self._slots_in.device_rows[:rows], latents)
        self._latents_out.device_rows[:rows].copy_(latents)
        self._cues_out.device_rows[:rows].copy_(flow_lm.denormalize(latents))
        torch.gt(flow_lm.eos_logits(z), self._thresholds_in.device_rows[:rows], out=self._eos_out.device_rows[:rows])

    def _reserve(self, slots: list[int], lengths: list[int]) -> int:
        columns = self.cache.reserve(slots, lengths)
        if self.cache.reallocations != self._reallocations:
            self._reallocations = self.cache.reallocations
            if self._graphs.clear():
                log.warning("rows are longer than their memory; it was enlarged, and steps are slower until a restart")
        return columns

    def _prefix(self, voice: Voice) -> Prefix:
        if voice not in self._prefixes:
            keys, values = (
                to_device(part.to(self.cache.shape.dtype), self._device) for part in (voice.keys, voice.values)
            )
            self._prefixes[voice] = Prefix(keys, values)
        return self._prefixes[voice]

    def _graphs_to_capture(self) -> Iterator[tuple[Hashable, Work]]:
        for rows in buckets(self._slots):
            for columns in CAPTURED_COLUMNS:
                yield ("decode", rows, columns), partial(self._decode, rows, columns)
            yield ("sample", rows, CAPTURED_DECODE_STEPS), partial(self._sample, rows, CAPTURED_DECODE_STEPS)
            if usual := self._capture.score_width([1]):
                yield ("attention", rows, usual), partial(self._capture.compute_scores, rows, usual)

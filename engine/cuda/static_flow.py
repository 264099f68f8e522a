"""FlowLM's memory and steps in static shapes: what `state.FlowLMState` is, for accelerators.

A step is two pieces of work: through the backbone, behind texts (which have any length, so it just runs) or behind the
last latents; then through the heads. Where it is asked how rows look at their texts, that is a third piece. One wait
at its end brings latents, ends of speech and that to the host.
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
from sayline_tts.engine.cuda.graphs import Buffer, Graphs, Work, bucket, buckets, sent
from sayline_tts.engine.cuda.static_attention_capture import StaticWatch
from sayline_tts.engine.models.flow_lm import FlowLM
from sayline_tts.engine.models.flow_lm_state import Draws, Opening, Spoken, asked_rows, attention
from sayline_tts.engine.models.voice import Voice

log = logging.getLogger(__name__)

USUAL_COLUMNS = (16, 8, 4)  # pages of the longest row in a pass, largest first; behind more of them it just runs
USUAL_STEPS = (1,)  # of decoding, in a batch; with others it just runs


class StaticFlow:
    @torch.inference_mode()
    def __init__(self, flow_lm: FlowLM, slots: int, heads: AlignmentHeads | None = None) -> None:
        self._flow_lm, self._slots = flow_lm, slots
        self._device, dim = flow_lm.bos_emb.device, len(flow_lm.bos_emb)
        self.cache = StaticPages(flow_lm.cache_shape, slots)
        self.latents = torch.zeros(slots + 1, dim, device=self._device)  # the last of each
        self._prefixes: WeakKeyDictionary[Voice, Prefix] = WeakKeyDictionary()
        self._z = torch.zeros(slots, flow_lm.config.output_dim, device=self._device)
        buffer = partial(Buffer, slots, device=self._device)
        self._slots_in, self._steps_in = buffer((), torch.long), buffer((), torch.long)
        self._noise_in, self._thresholds_in = buffer((dim,), torch.float32), buffer((), torch.float32)
        self._latents_out, self._cues_out = buffer((dim,), torch.float32), buffer((dim,), torch.float32)
        self._eos_out = buffer((), torch.bool)
        query_heads = flow_lm.config.transformer.num_heads
        self._watch = StaticWatch(heads, query_heads, self.cache, self._slots_in.there)
        self._graphs = Graphs(self._device)
        self._slots_in.send(torch.full((slots,), self.cache.scratch))
        self._graphs.capture(self._usual_works())
        self._moved = self.cache.moved

    @torch.inference_mode()
    def snapshot(self, slot: int) -> Voice:
        """All that the row holds now, as a voice of its own."""
        with self._graphs.step():
            whole = self.cache.whole(slot)
            return Voice.of(whole.keys, whole.values)

    @torch.inference_mode()
    def step(
        self, slots: list[int], openings: Sequence[Opening | None], draws: Draws, text_lengths: Sequence[int] = ()
    ) -> Spoken:
        """As `FlowLMState.step`. Those who open and those who go on are passes of their own."""
        parts = [
            [row for row, opening in enumerate(openings) if (opening is None) is goes_on] for goes_on in (True, False)
        ]
        if not all(parts):
            return self._step(slots, [each for each in openings if each is not None], draws, text_lengths)
        spoken = [
            self._step(
                [slots[row] for row in rows],
                [opening for row in rows if (opening := openings[row]) is not None],
                draws.of(rows),
                [text_lengths[row] for row in rows] if text_lengths else (),
            )
            for rows in parts
        ]
        return Spoken.joined(spoken, parts)

    def _step(self, slots: list[int], openings: list[Opening], draws: Draws, text_lengths: Sequence[int]) -> Spoken:
        """All open, or all go on."""
        count, rows = len(slots), bucket(len(slots), self._slots)
        with self._graphs.step():
            self._slots_in.send(torch.tensor(slots + [self.cache.scratch] * (rows - count)))
            if openings:
                self._open(slots, openings)
            else:
                columns = bucket(self._reserve(slots, [1] * count), self.cache.columns)
                columns = max(columns, USUAL_COLUMNS[-1])
                self._graphs.run(("go on", rows, columns), partial(self._go_on, rows, columns))
            self._noise_in.send(draws.noise)
            self._thresholds_in.send(torch.tensor(draws.thresholds))
            self._steps_in.send(torch.tensor(draws.decode_steps))
            kinds = tuple(sorted(set(draws.decode_steps)))
            self._graphs.run(("speak", rows, kinds), partial(self._speak, rows, kinds))
            if width := self._watch.width(text_lengths):
                self._graphs.run(("look", rows, width), partial(self._watch.look, rows, width))
                scores = self._watch.fetch(count, width)
            latents, cues, is_eos = (out.fetch(count) for out in (self._latents_out, self._cues_out, self._eos_out))
        looks: list[np.ndarray | None] = [None] * count
        if width:
            looks = attention(scores[:, asked_rows(text_lengths)], text_lengths)
        return Spoken(latents.clone(), cues.clone(), is_eos.tolist(), looks)

    def _open(self, slots: list[int], openings: list[Opening]) -> None:
        """Voice and text, all rows at once: shorter ones are filled up at their end, as in `FlowLMState`."""
        flow_lm, cache = self._flow_lm, self.cache
        for slot, opening in zip(slots, openings, strict=True):
            if opening.voice is not None:
                cache.begin(slot, self._prefix(opening.voice))
        lengths = [len(opening.tokens) + 1 for opening in openings]  # and the mark where speech begins
        padded = torch.zeros(len(slots), max(lengths), dtype=torch.long)
        for row, opening in zip(padded, openings, strict=True):
            row[: len(opening.tokens)] = torch.tensor(opening.tokens, dtype=torch.long)
        columns = self._reserve(slots, lengths)
        tokens, ends = sent(padded, self._device), sent(torch.tensor(lengths), self._device)
        places, rows = self._slots_in.there[: len(slots)], torch.arange(len(slots), device=self._device)
        x = flow_lm.conditioner(tokens)  # [rows, longest, width]
        x[rows, ends - 1] = flow_lm.embed_latents(flow_lm.bos_emb).to(x.dtype)
        self._watch.begin(len(slots))
        span = self._watch.over(cache.span(places, x.shape[1], columns), (rows, ends - 1))
        x = flow_lm(x.to(flow_lm.dtype), span)
        cache.advance(places, ends)
        self._z[: len(slots)] = flow_lm.read(x[rows, ends - 1])

    def _go_on(self, rows: int, columns: int) -> None:
        """Behind the last latents."""
        slots = self._slots_in.there[:rows]
        x = self._flow_lm.embed_latents(self.latents.index_select(0, slots))[:, None]  # [rows, 1, width]
        x = self._flow_lm(x, self._watch.over(self.cache.span(slots, 1, columns), (slice(None), 0)))
        self.cache.advance(slots, 1)
        self._z[:rows].copy_(self._flow_lm.read(x[:, 0]))

    def _speak(self, rows: int, kinds: tuple[int, ...]) -> None:
        """The heads. Rows of different decode steps: all take all of them, and keep their own."""
        flow_lm, z, noise = self._flow_lm, self._z[:rows], self._noise_in.there[:rows]
        latents = flow_lm.sample(z, noise, kinds[0])
        for kind in kinds[1:]:
            mine = self._steps_in.there[:rows, None] == kind
            latents = torch.where(mine, flow_lm.sample(z, noise, kind), latents)
        self.latents.index_copy_(0, self._slots_in.there[:rows], latents)
        self._latents_out.there[:rows].copy_(latents)
        self._cues_out.there[:rows].copy_(flow_lm.denormalize(latents))
        torch.gt(flow_lm.end_of_speech(z), self._thresholds_in.there[:rows], out=self._eos_out.there[:rows])

    def _reserve(self, slots: list[int], lengths: list[int]) -> int:
        columns = self.cache.reserve(slots, lengths)
        if self.cache.moved != self._moved:
            self._moved = self.cache.moved
            if self._graphs.forget():
                log.warning("rows are longer than their memory; it was enlarged, and steps are slower until a restart")
        return columns

    def _prefix(self, voice: Voice) -> Prefix:
        if voice not in self._prefixes:
            keys, values = (sent(part.to(self.cache.shape.dtype), self._device) for part in (voice.keys, voice.values))
            self._prefixes[voice] = Prefix(keys, values)
        return self._prefixes[voice]

    def _usual_works(self) -> Iterator[tuple[Hashable, Work]]:
        for rows in buckets(self._slots):
            for columns in USUAL_COLUMNS:
                yield ("go on", rows, columns), partial(self._go_on, rows, columns)
            yield ("speak", rows, USUAL_STEPS), partial(self._speak, rows, USUAL_STEPS)
            if usual := self._watch.width([1]):
                yield ("look", rows, usual), partial(self._watch.look, rows, usual)

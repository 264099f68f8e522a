"""The codec's memory and frames in static shapes: what `mimi.MimiState` and `Mimi.decode` are, for accelerators."""

from collections.abc import Hashable, Iterator
from functools import partial

import torch
from torch import Tensor

from sayline_tts.engine.cache.static_cache import StaticRings
from sayline_tts.engine.cuda.graphs import Buffer, Graphs, Work, bucket, buckets
from sayline_tts.engine.models.mimi import Mimi, MimiState


class StaticMimiState(MimiState):
    """Of one slot more than there are: see `static_cache`."""

    cache: StaticRings

    def __init__(self, mimi: Mimi, device: torch.device, slots: int) -> None:
        super().__init__(mimi, device, slots + 1)
        self._fresh: list[int] = []

    def _new_cache(self, mimi: Mimi, device: torch.device, slots: int, shared: bool) -> StaticRings:
        transformer = mimi.decoder_transformer
        shape = transformer.cache_shape(mimi.cache_dtype, device)
        return StaticRings(shape, slots - 1, transformer.shape.context, mimi.stride)

    def reset(self, slot: int) -> None:
        """When the next frames are decoded: that has a stream of its own."""
        self._fresh.append(slot)

    def renew(self) -> None:
        for slot in self._fresh:
            super().reset(slot)
        self._fresh.clear()


class StaticMimi:
    """Decodes for one thread; the memory is its own."""

    @torch.inference_mode()
    def __init__(self, mimi: Mimi, device: torch.device, slots: int) -> None:
        self._mimi, self._slots = mimi, slots
        self.state = StaticMimiState(mimi, device, slots)
        self._latents_in = Buffer(slots, (mimi.config.quantizer.dimension,), torch.float32, device)
        self._slots_in = Buffer(slots, (), torch.long, device)
        self._pcm_out = Buffer(slots, (mimi.config.frame_samples,), torch.float32, device)
        self._graphs = Graphs(device)
        self._slots_in.send(torch.full((slots,), self.state.cache.scratch))
        self._graphs.capture(self._works())

    @torch.inference_mode()
    def decode(self, latents: Tensor, state: MimiState, slots: Tensor) -> Tensor:
        """As `Mimi.decode`; latents and slots lie on the host, and so does what comes back."""
        assert state is self.state, "frames are captured for one memory"
        count, rows = len(slots), bucket(len(slots), self._slots)
        with self._graphs.step():
            self.state.renew()
            self._latents_in.send(latents)
            self._slots_in.send(torch.cat([slots, slots.new_full((rows - count,), self.state.cache.scratch)]))
            self._graphs.run(rows, partial(self._frames, rows))
            pcm = self._pcm_out.fetch(count)
        return pcm.clone()

    def _frames(self, rows: int) -> None:
        latents, slots = self._latents_in.there[:rows], self._slots_in.there[:rows]
        self._pcm_out.there[:rows].copy_(self._mimi.decode(latents, self.state, slots))

    def _works(self) -> Iterator[tuple[Hashable, Work]]:
        return ((rows, partial(self._frames, rows)) for rows in buckets(self._slots))

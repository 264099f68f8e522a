"""The codec's state and decoding in static shapes, for accelerators: counterparts of `MimiState` and `Mimi.decode`."""

from collections.abc import Hashable, Iterator
from functools import partial

import torch
from torch import Tensor

from sayline_tts.engine.cache.static_cache import StaticRings
from sayline_tts.engine.cuda.graphs import Graphs, StagingBuffer, Work, bucket, buckets
from sayline_tts.engine.models.mimi import Mimi, MimiState


class StaticMimiState(MimiState):
    """State with one scratch slot more for padding rows."""

    cache: StaticRings

    def __init__(self, mimi: Mimi, device: torch.device, slots: int) -> None:
        super().__init__(mimi, device, slots + 1)
        self._pending_resets: list[tuple[int, int]] = []

    def _new_cache(self, mimi: Mimi, device: torch.device, slots: int, shared: bool) -> StaticRings:
        transformer = mimi.decoder_transformer
        shape = transformer.cache_shape(mimi.cache_dtype, device)
        return StaticRings(shape, slots - 1, transformer.shape.context, mimi.stride)

    def reset(self, slot: int, frames: int = 0) -> None:
        """Reset the slot before the next frames are decoded, on the decoder's own stream."""
        self._pending_resets.append((slot, frames))

    def apply_resets(self) -> None:
        """Apply the pending resets."""
        for slot, frames in self._pending_resets:
            super().reset(slot, frames)
        self._pending_resets.clear()


class StaticMimi:
    """Decodes on one thread, with its own state."""

    @torch.inference_mode()
    def __init__(self, mimi: Mimi, device: torch.device, slots: int) -> None:
        self._mimi, self._slots = mimi, slots
        self.state = StaticMimiState(mimi, device, slots)
        self._latents_in = StagingBuffer(slots, (mimi.config.quantizer.dimension,), torch.float32, device)
        self._slots_in = StagingBuffer(slots, (), torch.long, device)
        self._pcm_out = StagingBuffer(slots, (mimi.config.frame_samples,), torch.float32, device)
        self._graphs = Graphs(device)
        self._slots_in.upload(torch.full((slots,), self.state.cache.scratch_slot))
        self._graphs.capture(self._graphs_to_capture())

    @torch.inference_mode()
    def decode(self, latents: Tensor, state: MimiState, slots: Tensor) -> Tensor:
        """As `Mimi.decode`; latents, slots and the result are on the host."""
        assert state is self.state, "frames are captured for one memory"
        count, rows = len(slots), bucket(len(slots), self._slots)
        with self._graphs.step():
            self.state.apply_resets()
            self._latents_in.upload(latents)
            self._slots_in.upload(torch.cat([slots, slots.new_full((rows - count,), self.state.cache.scratch_slot)]))
            self._graphs.run(rows, partial(self._decode_frames, rows))
            pcm = self._pcm_out.download(count)
        return pcm.clone()

    def _decode_frames(self, rows: int) -> None:
        latents, slots = self._latents_in.device_rows[:rows], self._slots_in.device_rows[:rows]
        self._pcm_out.device_rows[:rows].copy_(self._mimi.decode(latents, self.state, slots))

    def _graphs_to_capture(self) -> Iterator[tuple[Hashable, Work]]:
        return ((rows, partial(self._decode_frames, rows)) for rows in buckets(self._slots))

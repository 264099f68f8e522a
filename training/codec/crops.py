"""Training crops for the codec: audio with its latents and mel patches."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from training.data.clips import FRAME_SAMPLES, Clip, augmented_speakers_of, read_clips, voices_of
from training.trainer.device import to_device


class CodecCrops:
    """Random crops of the clips of some voices that have latents; deterministic for a seed."""

    def __init__(self, work: Path, voices: Sequence[str], frames: int, rows: int, validation: bool = False) -> None:
        available = [
            clip
            for clip in read_clips(work / "speech", voices, validation)
            if _shard_file(work, "latents", clip, ".npz").exists() and clip.samples >= frames * FRAME_SAMPLES
        ]
        self._frames, self._rows, self._clips = frames, rows, available
        shards = {clip.shard: clip for clip in available}
        self._latents = {
            shard: np.load(_shard_file(work, "latents", clip, ".npz"))["latent"] for shard, clip in shards.items()
        }
        self._patches = {
            shard: np.load(_shard_file(work, "patches", clip, ".npy"), mmap_mode="r") for shard, clip in shards.items()
        }
        lengths = np.array([clip.samples for clip in available], dtype=np.float64)
        self._probabilities = lengths / lengths.sum()

    def __len__(self) -> int:
        return len(self._clips)

    def batch(self, seed: int) -> tuple[Tensor, Tensor, Tensor]:
        """Audio `[rows, samples]`, latents `[rows, frames, dim]`, patches `[rows, frames, PATCH_SIZE]`."""
        rng = np.random.default_rng(seed)
        audio, latents, patches = [], [], []
        for index in rng.choice(len(self._clips), self._rows, p=self._probabilities):
            clip = self._clips[index]
            first = int(rng.integers(clip.samples // FRAME_SAMPLES - self._frames + 1))
            begin = clip.first_sample // FRAME_SAMPLES + first
            samples = clip.shard.audio[begin * FRAME_SAMPLES : (begin + self._frames) * FRAME_SAMPLES]
            audio.append(samples.astype(np.float32) / 2**15)
            latents.append(self._latents[clip.shard][begin : begin + self._frames].astype(np.float32))
            patches.append(self._patches[clip.shard][begin : begin + self._frames].astype(np.float32))
        return tuple(to_device(torch.from_numpy(np.stack(part))) for part in (audio, latents, patches))  # type: ignore[return-value]

    def clip_starts(self, seed: int, rows: int, frames: int) -> tuple[Tensor, Tensor]:
        """The first frames of random clips: audio `[rows, samples]`, latents `[rows, frames, dim]`."""
        chosen = [self._clips[index] for index in np.random.default_rng(seed).choice(len(self._clips), rows)]
        audio = [clip.audio[: frames * FRAME_SAMPLES] for clip in chosen]
        firsts = [clip.first_sample // FRAME_SAMPLES for clip in chosen]
        latents = [
            self._latents[clip.shard][first : first + frames].astype(np.float32)
            for clip, first in zip(chosen, firsts, strict=True)
        ]
        return to_device(torch.from_numpy(np.stack(audio))), to_device(torch.from_numpy(np.stack(latents)))


def own_and_augmented_crops(work: Path, frames: int, rows: int, augmented_rows: int) -> tuple[CodecCrops, CodecCrops]:
    """Crops of the model's voices and of augmented speakers, which make the codec generalize to cloned voices.

    Without augmented speakers both are of the model's voices.
    """
    own = voices_of(work / "speech")
    return CodecCrops(work, own, frames, rows), CodecCrops(
        work, augmented_speakers_of(work / "speech") or own, frames, augmented_rows
    )


def concat_batches(one: Sequence[Tensor], other: Sequence[Tensor]) -> tuple[Tensor, Tensor, Tensor]:
    """The rows of two batches in one."""
    audio, latents, patches = (torch.cat(both) for both in zip(one, other, strict=True))
    return audio, latents, patches


def _shard_file(work: Path, folder: str, clip: Clip, suffix: str) -> Path:
    return work / folder / clip.voice / f"{clip.shard.name}{suffix}"

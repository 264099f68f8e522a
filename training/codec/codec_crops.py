"""What the codec's halves learn from: stretches of sound with the latents and patches that belong to them."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from training.data.clips import FRAME_SAMPLES, Clip, read_clips, strangers_of, voices_of


class CodecCrops:
    """Random stretches of clips of these voices that have latents; the same seed gives the same ones."""

    def __init__(self, work: Path, voices: Sequence[str], frames: int, rows: int, validation: bool = False) -> None:
        there = [
            clip
            for clip in read_clips(work / "speech", voices, validation)
            if _beside(work, "latents", clip, ".npz").exists() and clip.samples >= frames * FRAME_SAMPLES
        ]
        self._frames, self._rows, self._clips = frames, rows, there
        shards = {clip.shard: clip for clip in there}
        self._latents = {
            shard: np.load(_beside(work, "latents", clip, ".npz"))["latent"] for shard, clip in shards.items()
        }
        self._patches = {
            shard: np.load(_beside(work, "patches", clip, ".npy"), mmap_mode="r") for shard, clip in shards.items()
        }
        lengths = np.array([clip.samples for clip in there], dtype=np.float64)
        self._chances = lengths / lengths.sum()

    def __len__(self) -> int:
        return len(self._clips)

    def batch(self, seed: int) -> tuple[Tensor, Tensor, Tensor]:
        """Sound `[rows, samples]`, latents `[rows, frames, dim]`, patches `[rows, frames, PATCH]`."""
        chance = np.random.default_rng(seed)
        sounds, latents, patches = [], [], []
        for place in chance.choice(len(self._clips), self._rows, p=self._chances):
            clip = self._clips[place]
            first = int(chance.integers(clip.samples // FRAME_SAMPLES - self._frames + 1))
            begin = clip.first_sample // FRAME_SAMPLES + first
            samples = clip.shard.audio[begin * FRAME_SAMPLES : (begin + self._frames) * FRAME_SAMPLES]
            sounds.append(samples.astype(np.float32) / 2**15)
            latents.append(self._latents[clip.shard][begin : begin + self._frames].astype(np.float32))
            patches.append(self._patches[clip.shard][begin : begin + self._frames].astype(np.float32))
        return tuple(torch.from_numpy(np.stack(part)) for part in (sounds, latents, patches))  # type: ignore[return-value]

    def openings(self, seed: int, rows: int, frames: int) -> tuple[Tensor, Tensor]:
        """How clips begin: sound `[rows, samples]`, latents `[rows, frames, dim]`."""
        chosen = [self._clips[place] for place in np.random.default_rng(seed).choice(len(self._clips), rows)]
        sounds = [clip.audio[: frames * FRAME_SAMPLES] for clip in chosen]
        firsts = [clip.first_sample // FRAME_SAMPLES for clip in chosen]
        latents = [
            self._latents[clip.shard][first : first + frames].astype(np.float32)
            for clip, first in zip(chosen, firsts, strict=True)
        ]
        return torch.from_numpy(np.stack(sounds)), torch.from_numpy(np.stack(latents))


def own_and_strange(work: Path, frames: int, rows: int, strange_rows: int) -> tuple[CodecCrops, CodecCrops]:
    """The model's speakers, and strangers, so that whoever is cloned is understood too; the former where are none."""
    own = voices_of(work / "speech")
    return CodecCrops(work, own, frames, rows), CodecCrops(
        work, strangers_of(work / "speech") or own, frames, strange_rows
    )


def joined(one: Sequence[Tensor], other: Sequence[Tensor]) -> tuple[Tensor, Tensor, Tensor]:
    """Rows of two batches as one."""
    sound, latents, patches = (torch.cat(both) for both in zip(one, other, strict=True))
    return sound, latents, patches


def _beside(work: Path, folder: str, clip: Clip, suffix: str) -> Path:
    return work / folder / clip.voice / f"{clip.shard.name}{suffix}"

"""Synthesized speech on disk, as training reads it: clips with phone labels, stored in shards."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from training.data.speakers import AUGMENTED_PREFIX

SAMPLE_RATE_HZ = 24_000
FRAME_SAMPLES = 1920
VALIDATION_EVERY = 101  # one sentence in so many is for validation; odd, so that each speaker reads some of them


@dataclass(frozen=True, eq=False)
class Shard:
    """Clips of one speaker in one file; the audio is memory-mapped."""

    path: Path

    @property
    def voice(self) -> str:
        return self.path.parent.name

    @property
    def name(self) -> str:
        return self.path.stem

    @cached_property
    def audio(self) -> NDArray[np.int16]:
        samples: NDArray[np.int16] = np.load(self.path.with_suffix(".audio.npy"), mmap_mode="r")
        return samples

    @cached_property
    def labels(self) -> dict[str, NDArray[np.generic]]:
        with np.load(self.path) as file:
            return dict(file)


@dataclass(frozen=True, eq=False)
class Clip:
    """One sentence read by one speaker."""

    shard: Shard
    index: int

    @property
    def voice(self) -> str:
        return self.shard.voice

    @property
    def sentence(self) -> int:
        return int(self.shard.labels["sentence"][self.index])

    @property
    def first_sample(self) -> int:
        """Offset within the shard."""
        return self._bounds("audio_start")[0]

    @property
    def samples(self) -> int:
        start, end = self._bounds("audio_start")
        return end - start

    @property
    def audio(self) -> NDArray[np.float32]:
        start, end = self._bounds("audio_start")
        samples: NDArray[np.float32] = self.shard.audio[start:end].astype(np.float32) / np.float32(2**15)
        return samples

    def phones_at(self, times_s: NDArray[np.float64]) -> NDArray[np.int64]:
        """Index in `PHONES` of the phone at each time; silence outside the clip."""
        start, end = self._bounds("phone_start")
        ends, names = self.shard.labels["phone_end"][start:end], self.shard.labels["phone"][start:end]
        indices = np.searchsorted(ends, times_s, side="right")
        phones = np.where((times_s >= 0) & (indices < len(names)), names[indices.clip(max=len(names) - 1)], 0)
        return phones.astype(np.int64)

    def _bounds(self, label: str) -> tuple[int, int]:
        start, end = self.shard.labels[label][self.index : self.index + 2]
        return int(start), int(end)


def is_validation(sentence: int) -> bool:
    return sentence % VALIDATION_EVERY == 0


def shards_of(folder: Path) -> list[Shard]:
    """All complete shards, interleaved by voice, so that the first few cover all voices."""
    return [Shard(path) for path in sorted(folder.glob("*/?-???.npz"), key=lambda path: (path.name, path.parent.name))]


def read_clips(folder: Path, voices: Sequence[str], validation: bool = False) -> list[Clip]:
    """The training clips, or the validation clips, of these voices."""
    shards = [shard for shard in shards_of(folder) if shard.voice in voices]
    clips = [Clip(shard, index) for shard in shards for index in range(len(shard.labels["sentence"]))]
    return [clip for clip in clips if is_validation(clip.sentence) == validation]


def voices_of(folder: Path) -> list[str]:
    """The model's voices, without the held-out speaker."""
    return (folder / "voices.txt").read_text(encoding="utf-8").split()[:-1]


def augmented_speakers_of(folder: Path) -> list[str]:
    """The augmented speakers (`training.data.neural_speakers`) that have speech."""
    return sorted(path.name for path in folder.glob(f"{AUGMENTED_PREFIX}*"))

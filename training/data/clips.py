"""The speech that was made, as training reads it: clips, with their sounds."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from training.data.speakers import STRANGER

SAMPLE_RATE = 24_000
FRAME_SAMPLES = 1920
VALIDATION_EVERY = 101  # of all sentences one is for validation; odd, so that each speaker reads some of them


@dataclass(frozen=True, eq=False)
class Shard:
    """Some clips of one speaker; the sound stays on disk until it is read."""

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
    """One sentence as one speaker says it."""

    shard: Shard
    place: int

    @property
    def voice(self) -> str:
        return self.shard.voice

    @property
    def sentence(self) -> int:
        return int(self.shard.labels["sentence"][self.place])

    @property
    def first_sample(self) -> int:
        """In its shard."""
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
        """The sound at each time; silence outside the clip."""
        start, end = self._bounds("phone_start")
        ends, names = self.shard.labels["phone_end"][start:end], self.shard.labels["phone"][start:end]
        places = np.searchsorted(ends, times_s, side="right")
        found = np.where((times_s >= 0) & (places < len(names)), names[places.clip(max=len(names) - 1)], 0)
        return found.astype(np.int64)

    def _bounds(self, of: str) -> tuple[int, int]:
        start, end = self.shard.labels[of][self.place : self.place + 2]
        return int(start), int(end)


def shards_of(folder: Path) -> list[Shard]:
    """All that are there, of all voices in turn, so that the first ones hold something of everybody."""
    return [Shard(path) for path in sorted(folder.glob("*/?-???.npz"), key=lambda path: (path.name, path.parent.name))]


def read_clips(folder: Path, voices: Sequence[str], validation: bool = False) -> list[Clip]:
    """All clips that are there, or those of the validation sentences."""
    shards = [shard for shard in shards_of(folder) if shard.voice in voices]
    clips = [Clip(shard, place) for shard in shards for place in range(len(shard.labels["sentence"]))]
    return [clip for clip in clips if (clip.sentence % VALIDATION_EVERY == 0) == validation]


def voices_of(folder: Path) -> list[str]:
    """The model's speakers, without the held-out one."""
    return (folder / "voices.txt").read_text(encoding="utf-8").split()[:-1]


def strangers_of(folder: Path) -> list[str]:
    """The speakers who are not there (`training.data.speakers`)."""
    return sorted(path.name for path in folder.glob(f"{STRANGER}*"))

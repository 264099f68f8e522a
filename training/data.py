"""The speech that was made, as training reads it: crops of clips, with their sounds."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

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


class Crops:
    """Random stretches of random clips, for ever: the same seed and step give the same ones."""

    def __init__(self, clips: Sequence[Clip], frames: int, rows: int, changed_speakers: float = 0.0) -> None:
        self._clips, self._samples, self._rows = clips, frames * FRAME_SAMPLES, rows
        self._changed = changed_speakers  # this share is played faster or slower, for voices that are not there
        lengths = np.array([clip.samples for clip in clips], dtype=np.float64)
        self._chances = lengths / lengths.sum()

    def batch(self, step: int, label_hop_s: float) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        """Sound `[rows, samples]` and the phone in the middle of each `label_hop_s`, `[rows, labels]`."""
        chance = np.random.default_rng(step)
        chosen = chance.choice(len(self._clips), self._rows, p=self._chances)
        crops = [self._crop(self._clips[place], chance, label_hop_s) for place in chosen]
        sounds, phones = zip(*crops, strict=True)
        return np.stack(sounds), np.stack(phones)

    def _crop(
        self, clip: Clip, chance: np.random.Generator, label_hop_s: float
    ) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        speed = chance.uniform(0.85, 1.18) if chance.random() < self._changed else 1.0
        most = max(1, clip.samples - int(self._samples * speed) + 2 * FRAME_SAMPLES)
        first = int(chance.integers(most)) - FRAME_SAMPLES  # silence is before and behind a clip
        at = first + np.arange(self._samples) * speed
        audio = clip.audio
        if speed == 1.0:
            sound = np.zeros(self._samples, np.float32)
            heard = audio[max(0, first) : first + self._samples]
            sound[max(0, -first) : max(0, -first) + len(heard)] = heard
        else:
            sound = np.interp(at, np.arange(len(audio)), audio, left=0.0, right=0.0).astype(np.float32)
        hop = round(label_hop_s * SAMPLE_RATE)
        return sound, clip.phones_at(at[hop // 2 :: hop] / SAMPLE_RATE)

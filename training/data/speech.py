"""Stage 2: every sentence spoken by one of the speakers (or more), with the times of its sounds.

    python -m training.data.speech --text text --out speech

Speech lies in shards, which are written whole: killed at any moment, the same command goes on. In round r, speaker v
reads the sentences i with (i + r) % speakers == v; the held-out speaker reads the first sentences of all. Strangers
(`training.data.speakers`) read a few sentences each, every stranger others.
"""

import argparse
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from tqdm import tqdm

from training.data.files import write_array, write_arrays, write_whole
from training.data.phones import PHONES
from training.data.speakers import HELD_OUT, SPEAKERS, Clip, speaker, stranger

SHARD_SENTENCES = 1000
STRANGER_SENTENCES = 30


@dataclass(frozen=True)
class Shard:
    """What one speaker reads of a thousand sentences."""

    folder: Path
    name: str
    speaker: str
    sentences: dict[int, str]

    @property
    def path(self) -> Path:
        return self.folder / self.speaker / f"{self.name}.npz"

    def speak(self) -> float:
        """Speak all that can be spoken. Returns the hours of it."""
        clips: dict[int, Clip] = {}
        for sentence, text in self.sentences.items():
            clip = speaker(self.speaker).speak(text)
            if max(phone.word for phone in clip.phones) + 1 == len(text.split()):  # flite may read one word as two
                clips[sentence] = clip
        self.path.parent.mkdir(parents=True, exist_ok=True)
        audio = np.concatenate([clip.samples for clip in clips.values()])
        write_array(self.path.with_suffix(".audio.npy"), audio)
        write_arrays(self.path, _labels(clips))
        return len(audio) / 24_000 / 3600


def shards(folder: Path, sentences: Sequence[str], rounds: int, held_out: int) -> Iterator[Shard]:
    """The held-out speaker's share first, then one round after the other, the speakers side by side."""
    for turn in range(-1, rounds):
        for first in range(0, len(sentences) if turn >= 0 else held_out, SHARD_SENTENCES):
            ids = range(first, min(first + SHARD_SENTENCES, len(sentences) if turn >= 0 else held_out))
            name = f"{max(turn, 0)}-{first // SHARD_SENTENCES:03d}"
            if turn < 0:
                yield Shard(folder, name, HELD_OUT.name, {i: sentences[i] for i in ids})
                continue
            for place, one in enumerate(SPEAKERS):
                mine = {i: sentences[i] for i in ids if (i + turn) % len(SPEAKERS) == place}
                if mine:
                    yield Shard(folder, name, one.name, mine)


def strangers_shards(folder: Path, sentences: Sequence[str], count: int) -> Iterator[Shard]:
    """What each of so many strangers reads."""
    for number in range(count):
        ids = range(number, len(sentences), count)[:STRANGER_SENTENCES]
        yield Shard(folder, "0-000", stranger(number).name, {i: sentences[i] for i in ids})


def _labels(clips: dict[int, Clip]) -> dict[str, np.ndarray]:
    phones = [phone for clip in clips.values() for phone in clip.phones]
    return {
        "sentence": np.array(list(clips), np.int32),
        "audio_start": np.cumsum([0, *(len(clip.samples) for clip in clips.values())], dtype=np.int64),
        "phone_start": np.cumsum([0, *(len(clip.phones) for clip in clips.values())], dtype=np.int32),
        "phone": np.array([PHONES.index(phone.name) for phone in phones], np.uint8),
        "phone_end": np.array([phone.end_s for phone in phones], np.float32),
        "word": np.array([phone.word for phone in phones], np.int16),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description="Speak the sentences for training.")
    parser.add_argument("--text", type=Path, required=True, help="folder with sentences.txt")
    parser.add_argument("--out", type=Path, required=True, help="folder for the speech")
    parser.add_argument("--rounds", type=int, default=1, help="so many speakers read each sentence")
    parser.add_argument("--held-out-sentences", type=int, default=1000, help="so many are read by the held-out speaker")
    parser.add_argument("--strangers", type=int, default=160, help="so many people who are not there are made up")
    parser.add_argument("--processes", type=int, default=2)
    options = parser.parse_args()
    sentences = (options.text / "sentences.txt").read_text(encoding="utf-8").splitlines()
    options.out.mkdir(parents=True, exist_ok=True)
    write_whole(options.out / "phones.txt", "\n".join(PHONES).encode())
    write_whole(options.out / "voices.txt", "\n".join(one.name for one in (*SPEAKERS, HELD_OUT)).encode())
    wanted = list(shards(options.out, sentences, options.rounds, options.held_out_sentences))
    wanted += strangers_shards(options.out, sentences, options.strangers)
    missing = [shard for shard in wanted if not shard.path.exists()]
    with (
        ProcessPoolExecutor(options.processes) as pool,
        tqdm(total=len(wanted), initial=len(wanted) - len(missing)) as bar,
    ):
        hours = 0.0
        for spoken in pool.map(Shard.speak, missing):
            hours += spoken
            bar.set_postfix_str(f"{hours:.2f} h")
            bar.update()


if __name__ == "__main__":
    main()

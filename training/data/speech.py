"""Stage 2: synthesize every sentence with one or more speakers, with phone labels.

    python -m training.data.speech --text text --out speech

Speech is stored in shards, which are written atomically: if killed, the same command resumes. In round r, speaker v
reads the sentences i with (i + r) % speakers == v. Each augmented speaker reads a few sentences of its own
(`training.data.neural_speakers`).
"""

import argparse
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from tqdm import tqdm

from sayline_tts.engine.checkpoint.atomic_write import atomic_write
from training.data.arrays import save_array, save_arrays
from training.data.neural_speakers import SPEAKERS, augmented_speaker, find_speaker
from training.data.phones import PHONES
from training.data.speakers import HELD_OUT, SynthesizedClip, WordMismatchError

SHARD_SENTENCES = 1000
AUGMENTED_SENTENCES = 30


@dataclass(frozen=True)
class ShardJob:
    """One speaker's share of a thousand sentences, to be synthesized into one shard."""

    folder: Path
    name: str
    speaker: str
    sentences: dict[int, str]

    @property
    def path(self) -> Path:
        return self.folder / self.speaker / f"{self.name}.npz"

    def synthesize(self) -> float:
        """Synthesize and write the shard. Returns its duration in hours."""
        clips: dict[int, SynthesizedClip] = {}
        for sentence, text in self.sentences.items():
            try:
                clip = find_speaker(self.speaker).synthesize(text)
            except WordMismatchError:
                continue
            if {phone.word for phone in clip.phones} - {-1} == set(range(len(text.split()))):  # flite may split a word
                clips[sentence] = clip
        self.path.parent.mkdir(parents=True, exist_ok=True)
        audio = np.concatenate([clip.samples for clip in clips.values()])
        save_array(self.path.with_suffix(".audio.npy"), audio)
        save_arrays(self.path, _labels(clips))
        return len(audio) / 24_000 / 3600


def shards(folder: Path, sentences: Sequence[str], rounds: int) -> Iterator[ShardJob]:
    """Jobs round by round, with the speakers interleaved."""
    for round_ in range(rounds):
        for first in range(0, len(sentences), SHARD_SENTENCES):
            ids = range(first, min(first + SHARD_SENTENCES, len(sentences)))
            name = f"{round_}-{first // SHARD_SENTENCES:03d}"
            for index, speaker in enumerate(SPEAKERS):
                share = {i: sentences[i] for i in ids if (i + round_) % len(SPEAKERS) == index}
                if share:
                    yield ShardJob(folder, name, speaker.name, share)


def augmented_shards(folder: Path, sentences: Sequence[str], count: int) -> Iterator[ShardJob]:
    """One job for each of `count` augmented speakers."""
    for number in range(count):
        ids = range(number, len(sentences), count)[:AUGMENTED_SENTENCES]
        yield ShardJob(folder, "0-000", augmented_speaker(number).name, {i: sentences[i] for i in ids})


def interleave(jobs: Sequence[ShardJob], others: Sequence[ShardJob]) -> list[ShardJob]:
    """Both lists in proportion, so that training can start on part of the speech."""
    placed = [(index / len(each), job) for each in (jobs, others) for index, job in enumerate(each)]
    return [job for _, job in sorted(placed, key=lambda pair: pair[0])]


def _labels(clips: dict[int, SynthesizedClip]) -> dict[str, np.ndarray]:
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
    parser = argparse.ArgumentParser(description="Synthesize the training sentences.")
    parser.add_argument("--text", type=Path, required=True, help="folder with sentences.txt")
    parser.add_argument("--out", type=Path, required=True, help="folder for the speech")
    parser.add_argument("--rounds", type=int, default=1, help="number of speakers that read each sentence")
    parser.add_argument(
        "--augmented-speakers", "--strangers", type=int, default=300, help="number of augmented speakers"
    )
    parser.add_argument("--processes", type=int, default=2)
    options = parser.parse_args()
    sentences = (options.text / "sentences.txt").read_text(encoding="utf-8").splitlines()
    options.out.mkdir(parents=True, exist_ok=True)
    atomic_write(options.out / "phones.txt", "\n".join(PHONES).encode())
    atomic_write(options.out / "voices.txt", "\n".join([*(one.name for one in SPEAKERS), HELD_OUT.name]).encode())
    jobs = interleave(
        list(shards(options.out, sentences, options.rounds)),
        list(augmented_shards(options.out, sentences, options.augmented_speakers)),
    )
    missing = [job for job in jobs if not job.path.exists()]
    with (
        ProcessPoolExecutor(options.processes) as pool,
        tqdm(total=len(jobs), initial=len(jobs) - len(missing)) as bar,
    ):
        hours = 0.0
        for shard_hours in pool.map(ShardJob.synthesize, missing):
            hours += shard_hours
            bar.set_postfix_str(f"{hours:.2f} h")
            bar.update()


if __name__ == "__main__":
    main()

"""A small folder of synthetic speech: two voices and a held-out speaker, with tones as words."""

from pathlib import Path

import numpy as np

from sayline_tts.engine.checkpoint.atomic_write import atomic_write
from training.data.arrays import save_array, save_arrays
from training.data.phones import PHONES

FRAME_SAMPLES = 1920
FRAMES = 20  # of a clip
CLIPS = 4  # of a speaker


def make(work: Path, sentences: tuple[int, ...] = (0, 1, 2, 100)) -> Path:
    """Every clip is half a second of `ow` and the rest silence; sentence 0 is for validation."""
    for voice, hz in (("ann", 200), ("bob", 100), ("held", 150)):
        folder = work / "speech" / voice
        folder.mkdir(parents=True)
        tone = np.sin(2 * np.pi * hz / 24_000 * np.arange(FRAMES * FRAME_SAMPLES)) * 8000
        tone[12_000:] = 0
        starts = np.arange(len(sentences) + 1)
        save_array(folder / "0-000.audio.npy", np.tile(tone.astype(np.int16), len(sentences)))
        save_arrays(
            folder / "0-000.npz",
            {
                "sentence": np.array(sentences, np.int32),
                "audio_start": starts.astype(np.int64) * FRAMES * FRAME_SAMPLES,
                "phone_start": starts.astype(np.int32) * 2,
                "phone": np.array([PHONES.index("ow"), 0] * len(sentences), np.uint8),
                "phone_end": np.array([0.5, 1.6] * len(sentences), np.float32),
                "word": np.array([0, -1] * len(sentences), np.int16),
            },
        )
    atomic_write(work / "speech/voices.txt", b"ann\nbob\nheld")
    return work

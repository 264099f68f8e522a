"""The onset of speech: a codec that starts from zeros begins with a step of some samples, which is heard as a click."""

import numpy as np

FADE_SAMPLES = 48  # 2 ms at 24 kHz: covers the step, and is shorter than the burst of a plosive
_GAIN = np.sin(np.pi / 2 * np.arange(FADE_SAMPLES, dtype=np.float32) / FADE_SAMPLES) ** 2


def fade_in(pcm: np.ndarray) -> np.ndarray:
    """Return a copy of the first frame of speech, float32 `[samples]`, that starts from silence."""
    faded = pcm.copy()
    faded[:FADE_SAMPLES] *= _GAIN[: len(faded)]
    return faded

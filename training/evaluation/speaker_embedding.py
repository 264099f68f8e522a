"""Speaker similarity: embeddings of the GE2E speaker encoder of Resemblyzer (arXiv:1710.10467).

Only the weights in the package `Resemblyzer` 0.1.4 (Apache 2.0) are used; its code does not run with current SciPy.
"""

from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from math import gcd
from pathlib import Path

import librosa
import numpy as np
import torch
from numpy.typing import NDArray
from scipy.signal import resample_poly
from torch import Tensor, nn

INPUT_RATE_HZ = 16_000
WINDOW_SAMPLES, HOP_SAMPLES, MELS = 400, 160, 40
SEGMENT_FRAMES, SEGMENT_HOP_FRAMES = 160, 80  # segments of 1.6 s, overlapping by half
LEVEL_DB = -30.0
SILENCE_DB = 35.0  # frames this far below the loudest are dropped
DIM = 256


class SpeakerEncoder(nn.Module):
    """Maps mel spectra to an embedding of norm 1. Tensors have their published names."""

    def __init__(self) -> None:
        super().__init__()
        self.lstm = nn.LSTM(MELS, DIM, num_layers=3, batch_first=True)
        self.linear = nn.Linear(DIM, DIM)

    @classmethod
    def pretrained(cls) -> "SpeakerEncoder":
        """Load the published weights. Raises ModuleNotFoundError if Resemblyzer is not installed."""
        spec = find_spec("resemblyzer")
        if spec is None or not spec.origin:
            raise ModuleNotFoundError("Resemblyzer is missing: pip install --no-deps Resemblyzer==0.1.4")
        weights = torch.load(Path(spec.origin).parent / "pretrained.pt", map_location="cpu", weights_only=True)
        encoder = cls()
        encoder.load_state_dict({name: weights["model_state"][name] for name in encoder.state_dict()})
        return encoder.eval()

    def forward(self, mels: Tensor) -> Tensor:
        """`[rows, frames, MELS]` to `[rows, DIM]`."""
        _, (hidden, _) = self.lstm(mels)
        return nn.functional.normalize(torch.relu(self.linear(hidden[-1])), dim=1)

    @torch.inference_mode()
    def embed(self, clips: Sequence[NDArray[np.float32]], rate_hz: int) -> NDArray[np.float64]:
        """The embedding of one speaker's clips together, `[DIM]`, of norm 1."""
        segments = torch.cat([_segments(_mels(clip, rate_hz)) for clip in clips])
        mean = self(segments).double().mean(0)
        embedding: NDArray[np.float64] = (mean / mean.norm()).numpy()
        return embedding


class EmbeddingClassifier:
    """Identifies a speaker by the most similar embedding."""

    def __init__(self, examples: Mapping[str, Sequence[NDArray[np.float32]]], rate_hz: int) -> None:
        self._encoder, self._rate_hz = SpeakerEncoder.pretrained(), rate_hz
        self._embeddings = {name: self._encoder.embed(clips, rate_hz) for name, clips in examples.items()}

    def classify(self, audio: NDArray[np.float32]) -> str:
        embedding = self._encoder.embed([audio], self._rate_hz)
        return max(self._embeddings, key=lambda name: similarity(embedding, self._embeddings[name]))


def similarity(one: NDArray[np.float64], other: NDArray[np.float64]) -> float:
    """Cosine similarity of two embeddings; above 0.8 it is mostly the same speaker."""
    return float(one @ other)


def _mels(audio: NDArray[np.float32], rate_hz: int) -> NDArray[np.float32]:
    """Mel spectra without silence `[frames, MELS]`."""
    common = gcd(rate_hz, INPUT_RATE_HZ)
    resampled = resample_poly(audio, INPUT_RATE_HZ // common, rate_hz // common)
    levelled = resampled * 10 ** (LEVEL_DB / 20) / np.sqrt(np.mean(resampled**2))
    mels = librosa.feature.melspectrogram(
        y=levelled.astype(np.float32), sr=INPUT_RATE_HZ, n_fft=WINDOW_SAMPLES, hop_length=HOP_SAMPLES, n_mels=MELS
    ).T
    level_db = 10 * np.log10(mels.sum(1) + 1e-12)
    speech: NDArray[np.float32] = mels[level_db > level_db.max() - SILENCE_DB].astype(np.float32)
    return speech


def _segments(mels: NDArray[np.float32]) -> Tensor:
    """Overlapping segments `[rows, SEGMENT_FRAMES, MELS]`; shorter clips are repeated."""
    if len(mels) < SEGMENT_FRAMES:
        mels = np.tile(mels, (-(-SEGMENT_FRAMES // len(mels)), 1))
    starts = range(0, len(mels) - SEGMENT_FRAMES + 1, SEGMENT_HOP_FRAMES)
    return torch.from_numpy(np.stack([mels[start : start + SEGMENT_FRAMES] for start in starts]))

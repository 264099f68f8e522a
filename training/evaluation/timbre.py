"""Timbre features from long-term spectra, and a speaker classifier on them."""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from training.evaluation.measures import Audio, log_mel, pitch, trim

SHRINKAGE = 0.1  # of the covariance towards its diagonal, so that few clips are enough


def timbre(audio: Audio, rate_hz: int) -> NDArray[np.float64]:
    """Mean and standard deviation of the spectral shape over the louder half of the frames, `[2 * BANDS]`."""
    bands = log_mel(trim(audio, rate_hz), rate_hz)
    loud = bands[bands.mean(axis=1) >= np.median(bands.mean(axis=1))]
    shape = loud - loud.mean(axis=1, keepdims=True)
    return np.concatenate([shape.mean(axis=0), shape.std(axis=0)])


def median_pitch_hz(sounds: Sequence[Audio], rate_hz: int) -> float:
    return float(np.nanmedian(np.concatenate([pitch(audio, rate_hz) for audio in sounds])))


class SpeakerClassifier:
    """Gaussian classifier with a shared covariance (linear discriminant analysis)."""

    def __init__(self, examples: Mapping[str, Sequence[Audio]], rate_hz: int) -> None:
        self._rate_hz = rate_hz
        self.names = list(examples)
        timbres = [np.stack([timbre(audio, rate_hz) for audio in examples[name]]) for name in self.names]
        self._means = np.stack([each.mean(axis=0) for each in timbres])
        residuals = np.concatenate([each - mean for each, mean in zip(timbres, self._means, strict=True)])
        covariance = residuals.T @ residuals / len(residuals)
        self._precision = np.linalg.inv(covariance + SHRINKAGE * np.diag(covariance.diagonal() + 1e-3))

    def distances(self, audio: Audio) -> dict[str, float]:
        """Squared Mahalanobis distance to each speaker."""
        differences = timbre(audio, self._rate_hz) - self._means
        squares = np.einsum("ni,ij,nj->n", differences, self._precision, differences)
        return dict(zip(self.names, map(float, squares), strict=True))

    def classify(self, audio: Audio) -> str:
        distances = self.distances(audio)
        return min(distances, key=distances.__getitem__)

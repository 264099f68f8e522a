"""Who speaks? A simple classifier on spectra, and the distance between two ways to sound."""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from training.evaluation.measures import Sound, log_mel, pitch, trimmed

OWN_VARIANCE = 0.1  # is added to what clips of one speaker differ by, so that few clips are enough


def timbre(sound: Sound, rate_hz: int) -> NDArray[np.float64]:
    """Mean and deviation of the spectrum's shape over the loud half of the time, `[2 * BANDS]`."""
    bands = log_mel(trimmed(sound, rate_hz), rate_hz)
    loud = bands[bands.mean(axis=1) >= np.median(bands.mean(axis=1))]
    shape = loud - loud.mean(axis=1, keepdims=True)
    return np.concatenate([shape.mean(axis=0), shape.std(axis=0)])


def usual_pitch_hz(sounds: Sequence[Sound], rate_hz: int) -> float:
    return float(np.nanmedian(np.concatenate([pitch(sound, rate_hz) for sound in sounds])))


class Classifier:
    """One normal distribution for each speaker, all of one covariance."""

    def __init__(self, examples: Mapping[str, Sequence[Sound]], rate_hz: int) -> None:
        self._rate_hz = rate_hz
        self.names = list(examples)
        timbres = [np.stack([timbre(sound, rate_hz) for sound in examples[name]]) for name in self.names]
        self._means = np.stack([each.mean(axis=0) for each in timbres])
        apart = np.concatenate([each - mean for each, mean in zip(timbres, self._means, strict=True)])
        covariance = apart.T @ apart / len(apart)
        self._precision = np.linalg.inv(covariance + OWN_VARIANCE * np.diag(covariance.diagonal() + 1e-3))

    def distances(self, sound: Sound) -> dict[str, float]:
        apart = timbre(sound, self._rate_hz) - self._means
        squares = np.einsum("ni,ij,nj->n", apart, self._precision, apart)
        return dict(zip(self.names, map(float, squares), strict=True))

    def who(self, sound: Sound) -> str:
        distances = self.distances(sound)
        return min(distances, key=distances.__getitem__)

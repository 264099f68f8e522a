"""Rotary positions (Su et al. 2022, arXiv:2104.09864): neighbouring pairs of a vector turn by its position's angles."""

import math

import numpy as np
import torch
from torch import Tensor


def rotary_frequencies(head_dim: int, max_period: float) -> Tensor:
    """Angular frequencies `[head_dim / 2]`, float32."""
    return torch.exp(torch.arange(head_dim // 2, dtype=torch.float32) * (-math.log(max_period) * 2 / head_dim))


def rotation(positions: Tensor, frequencies: Tensor) -> Tensor:
    """`[..., head_dim / 2]` complex factors. Angles in float64, so hours of speech stay exact."""
    angles = positions[..., None].double() * frequencies.double()
    return torch.polar(torch.ones_like(angles), angles).to(torch.complex64)


def rotate(x: Tensor, by: Tensor) -> Tensor:
    """Turn `[..., heads, head_dim]` by `[..., head_dim / 2]`. float32."""
    pairs = torch.view_as_complex(x.float().unflatten(-1, (-1, 2)))
    return torch.view_as_real(pairs * by[..., None, :]).flatten(-2)


class Turns:
    """The same factors, on a processor, for neighbouring positions: the first one's times those of the distance."""

    def __init__(self, frequencies: Tensor) -> None:
        self._frequencies = frequencies.double().numpy()
        self._of_distances = np.empty((0, len(self._frequencies)), np.complex128)

    def behind(self, positions: np.ndarray, lengths: np.ndarray) -> np.ndarray:
        """Of so many positions from each of these on, float32 `[sum of lengths, head_dim]`: cosine and sine in turn."""
        of_distances, most = self._of_distances, int(lengths.max())
        if most > len(of_distances):
            self._of_distances = of_distances = self._at(np.arange(most))
        distances = np.arange(lengths.sum()) - np.repeat(np.cumsum(lengths) - lengths, lengths)
        turned: np.ndarray = np.repeat(self._at(positions), lengths, axis=0) * of_distances[distances]
        return turned.astype(np.complex64).view(np.float32)

    def _at(self, positions: np.ndarray) -> np.ndarray:
        angles = positions[:, None] * self._frequencies
        factors: np.ndarray = np.cos(angles) + 1j * np.sin(angles)
        return factors

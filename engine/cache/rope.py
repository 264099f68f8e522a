"""Rotary position embedding (RoPE; Su et al. 2022, arXiv:2104.09864) on neighbouring pairs of a vector."""

import math

import numpy as np
import torch
from torch import Tensor


def rope_frequencies(head_dim: int, max_period: float) -> Tensor:
    """Angular frequencies `[head_dim / 2]`, float32."""
    return torch.exp(torch.arange(head_dim // 2, dtype=torch.float32) * (-math.log(max_period) * 2 / head_dim))


def rope_factors(positions: Tensor, frequencies: Tensor) -> Tensor:
    """Complex factors `[..., head_dim / 2]` of positions `[...]`. Angles are computed in float64, so hours of speech
    stay exact.
    """
    angles = positions[..., None].double() * frequencies.double()
    return torch.polar(torch.ones_like(angles), angles).to(torch.complex64)


def apply_rope(x: Tensor, factors: Tensor) -> Tensor:
    """Rotate `[..., heads, head_dim]` by complex factors `[..., head_dim / 2]`, in float32."""
    pairs = torch.view_as_complex(x.float().unflatten(-1, (-1, 2)))
    return torch.view_as_real(pairs * factors[..., None, :]).flatten(-2)


class RopeTable:
    """The same factors on a CPU for runs of neighbouring positions: factor of the first times a cached factor of the
    offset.
    """

    def __init__(self, frequencies: Tensor) -> None:
        self._frequencies = frequencies.double().numpy()
        self._offset_factors = np.empty((0, len(self._frequencies)), np.complex128)

    def cos_sin(self, positions: np.ndarray, lengths: np.ndarray) -> np.ndarray:
        """Interleaved cosines and sines, float32 `[sum of lengths, head_dim]`, of runs that start at `positions`
        `[rows]`.
        """
        offset_factors, longest = self._offset_factors, int(lengths.max())
        if longest > len(offset_factors):
            self._offset_factors = offset_factors = self._at(np.arange(longest))
        offsets = np.arange(lengths.sum()) - np.repeat(np.cumsum(lengths) - lengths, lengths)
        factors: np.ndarray = np.repeat(self._at(positions), lengths, axis=0) * offset_factors[offsets]
        return factors.astype(np.complex64).view(np.float32)

    def _at(self, positions: np.ndarray) -> np.ndarray:
        angles = positions[:, None] * self._frequencies
        factors: np.ndarray = np.cos(angles) + 1j * np.sin(angles)
        return factors

"""Rotary positions (Su et al. 2022, arXiv:2104.09864): neighbouring pairs of a vector turn by its position's angles."""

import math

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

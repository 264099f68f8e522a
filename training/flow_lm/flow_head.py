"""Differentiable flow head: a residual MLP that maps noise, two times and a condition to a velocity.

Arithmetic and tensor names equal those of `sayline_tts.engine.models.flow_head`, whose packed weights have no gradient.
"""

import math

import torch
from torch import Tensor, nn

from sayline_tts.engine.checkpoint.config import FlowConfig

TIME_FREQUENCIES = 256


class VarianceNorm(nn.Module):
    def __init__(self, dim: int) -> None:
        super().__init__()
        self.alpha = nn.Parameter(torch.ones(dim))

    def forward(self, x: Tensor) -> Tensor:
        return x * (self.alpha * torch.rsqrt(x.float().var(dim=-1, keepdim=True) + 1e-5))


class TimeEmbedding(nn.Module):
    def __init__(self, dim: int) -> None:
        super().__init__()
        half = TIME_FREQUENCIES // 2
        self.mlp = nn.Sequential(nn.Linear(TIME_FREQUENCIES, dim), nn.SiLU(), nn.Linear(dim, dim), VarianceNorm(dim))
        self.register_buffer("freqs", torch.exp(-math.log(10000) * torch.arange(half) / half))
        self.freqs: Tensor

    def forward(self, time: Tensor) -> Tensor:
        """`[rows]` to `[rows, dim]`."""
        angles = time[:, None] * self.freqs
        out: Tensor = self.mlp(torch.cat([angles.cos(), angles.sin()], dim=-1))
        return out


class HeadBlock(nn.Module):
    def __init__(self, dim: int) -> None:
        super().__init__()
        self.in_ln = nn.LayerNorm(dim, eps=1e-6)
        self.mlp = nn.Sequential(nn.Linear(dim, dim), nn.SiLU(), nn.Linear(dim, dim))
        self.adaLN_modulation = nn.Sequential(nn.SiLU(), nn.Linear(dim, 3 * dim))
        _zero_init(self.adaLN_modulation[1])  # at first the block is the identity

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:
        shift, scale, gate = self.adaLN_modulation(condition).chunk(3, dim=-1)
        return torch.addcmul(x, gate, self.mlp(torch.addcmul(shift, self.in_ln(x), scale + 1)))


class HeadOutput(nn.Module):
    def __init__(self, dim: int, out_dim: int) -> None:
        super().__init__()
        self.norm_final = nn.LayerNorm(dim, eps=1e-6, elementwise_affine=False)
        self.linear = nn.Linear(dim, out_dim)
        self.adaLN_modulation = nn.Sequential(nn.SiLU(), nn.Linear(dim, 2 * dim))

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:
        shift, scale = self.adaLN_modulation(condition).chunk(2, dim=-1)
        out: Tensor = self.linear(torch.addcmul(shift, self.norm_final(x), scale + 1))
        return out


class FlowHead(nn.Module):
    """A head of type `lsd`: the average velocity of the flow between two times; 0 is noise, 1 is data."""

    def __init__(self, shape: FlowConfig, latent_dim: int, condition_dim: int) -> None:
        super().__init__()
        self.time_embed = nn.ModuleList(TimeEmbedding(shape.dim) for _ in range(2))
        self.cond_embed = nn.Linear(condition_dim, shape.dim)
        self.input_proj = nn.Linear(latent_dim, shape.dim)
        self.res_blocks = nn.ModuleList(HeadBlock(shape.dim) for _ in range(shape.depth))
        self.final_layer = HeadOutput(shape.dim, latent_dim)
        _zero_init(self.final_layer.adaLN_modulation[1])
        _zero_init(self.final_layer.linear)

    def embed(self, condition: Tensor) -> Tensor:
        """Project the backbone's output `[rows, condition_dim]` to the width of the head, once per frame."""
        out: Tensor = self.cond_embed(condition)
        return out

    def embed_times(self, start: Tensor, end: Tensor) -> Tensor:
        """Embed start and end times `[rows]`; the result is added to an embedded condition."""
        out: Tensor = (self.time_embed[0](start) + self.time_embed[1](end)) / 2
        return out

    def forward(self, condition: Tensor, x: Tensor) -> Tensor:
        """Velocity at `x` `[rows, latent_dim]`, given the embedded condition and times `[rows, dim]`."""
        x = self.input_proj(x)
        for block in self.res_blocks:
            x = block(x, condition)
        out: Tensor = self.final_layer(x, condition)
        return out.float()


def _zero_init(layer: nn.Module) -> None:
    for parameter in layer.parameters():
        nn.init.zeros_(parameter)

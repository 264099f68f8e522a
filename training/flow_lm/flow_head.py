"""The flow head as it is trained: a residual MLP from noise, two times and a condition to a direction.

The same arithmetic and tensor names as `sayline_tts.engine.models.flow_head`, whose weights are packed for inference and have no gradient.
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
        _silence(self.adaLN_modulation[1])  # at first the head is its input and output alone

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
    """Of type `lsd`: the average direction of the flow between two times, which are 0 at noise and 1 at data."""

    def __init__(self, shape: FlowConfig, latent_dim: int, condition_dim: int) -> None:
        super().__init__()
        self.time_embed = nn.ModuleList(TimeEmbedding(shape.dim) for _ in range(2))
        self.cond_embed = nn.Linear(condition_dim, shape.dim)
        self.input_proj = nn.Linear(latent_dim, shape.dim)
        self.res_blocks = nn.ModuleList(HeadBlock(shape.dim) for _ in range(shape.depth))
        self.final_layer = HeadOutput(shape.dim, latent_dim)
        _silence(self.final_layer.adaLN_modulation[1])
        _silence(self.final_layer.linear)

    def embed(self, condition: Tensor) -> Tensor:
        """What the backbone says, `[rows, condition_dim]`, as the head takes it: once for all draws of one frame."""
        out: Tensor = self.cond_embed(condition)
        return out

    def when(self, start: Tensor, end: Tensor) -> Tensor:
        """Two times `[rows]` as the head takes them, to be added to an embedded condition."""
        out: Tensor = (self.time_embed[0](start) + self.time_embed[1](end)) / 2
        return out

    def forward(self, condition: Tensor, x: Tensor) -> Tensor:
        """Embedded condition and times `[rows, dim]`, where the flow is `[rows, latent_dim]`: the direction to go."""
        x = self.input_proj(x)
        for block in self.res_blocks:
            x = block(x, condition)
        out: Tensor = self.final_layer(x, condition)
        return out.float()


def _silence(layer: nn.Module) -> None:
    for parameter in layer.parameters():
        nn.init.zeros_(parameter)

"""The flow head: noise and the backbone's output in, one latent out.

A residual MLP with adaptive layer norm (arXiv:2406.11838), used in one of four ways: Lagrangian self-distillation
(`lsd`, arXiv:2505.18825), flow matching by Euler steps (arXiv:2210.02747), `pointwise` (noise plus output) and
`drifting` (output alone). Knows nothing of text, time or rows' history.
"""

import math

import torch
from torch import Tensor, nn

from engine.config import FlowConfig

TIME_FREQUENCIES = 256
TIMES_OF_TYPE = {"lsd": 2, "flow_matching": 1, "pointwise": 0, "drifting": 0}


class VarianceNorm(nn.Module):
    """Divides by the unbiased standard deviation, without taking the mean away. eps 1e-5."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.alpha = nn.Parameter(torch.ones(dim))

    def forward(self, x: Tensor) -> Tensor:
        return x * (self.alpha * torch.rsqrt(x.var(dim=-1, keepdim=True) + 1e-5))


class TimeEmbedding(nn.Module):
    def __init__(self, dim: int) -> None:
        super().__init__()
        half = TIME_FREQUENCIES // 2
        self.mlp = nn.Sequential(nn.Linear(TIME_FREQUENCIES, dim), nn.SiLU(), nn.Linear(dim, dim), VarianceNorm(dim))
        self.register_buffer("freqs", torch.exp(-math.log(10000) * torch.arange(half) / half))
        self.freqs: Tensor

    def forward(self, time: float) -> Tensor:
        angles = time * self.freqs
        out: Tensor = self.mlp(torch.cat([angles.cos(), angles.sin()]))
        return out


class HeadBlock(nn.Module):
    def __init__(self, dim: int) -> None:
        super().__init__()
        self.in_ln = nn.LayerNorm(dim, eps=1e-6)
        self.mlp = nn.Sequential(nn.Linear(dim, dim), nn.SiLU(), nn.Linear(dim, dim))
        self.adaLN_modulation = nn.Sequential(nn.SiLU(), nn.Linear(dim, 3 * dim))

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:
        shift, scale, gate = self.adaLN_modulation(condition).chunk(3, dim=-1)
        out: Tensor = x + gate * self.mlp(self.in_ln(x) * (1 + scale) + shift)
        return out


class HeadOutput(nn.Module):
    def __init__(self, dim: int, out_dim: int) -> None:
        super().__init__()
        self.norm_final = nn.LayerNorm(dim, eps=1e-6, elementwise_affine=False)
        self.linear = nn.Linear(dim, out_dim)
        self.adaLN_modulation = nn.Sequential(nn.SiLU(), nn.Linear(dim, 2 * dim))

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:
        shift, scale = self.adaLN_modulation(condition).chunk(2, dim=-1)
        out: Tensor = self.linear(self.norm_final(x) * (1 + scale) + shift)
        return out


class FlowHead(nn.Module):
    def __init__(self, shape: FlowConfig, latent_dim: int, condition_dim: int) -> None:
        super().__init__()
        self.flow_type = shape.type
        self.time_embed = nn.ModuleList(TimeEmbedding(shape.dim) for _ in range(TIMES_OF_TYPE[shape.type]))
        self.cond_embed = nn.Linear(condition_dim, shape.dim)
        self.input_proj = nn.Linear(latent_dim, shape.dim)
        self.res_blocks = nn.ModuleList(HeadBlock(shape.dim) for _ in range(shape.depth))
        self.final_layer = HeadOutput(shape.dim, latent_dim)

    def sample(self, condition: Tensor, noise: Tensor, decode_steps: int) -> Tensor:
        """Condition `[rows, condition_dim]` and noise `[rows, latent_dim]` to latents `[rows, latent_dim]`.

        `decode_steps` counts integration steps; the one-step types ignore it.
        """
        match self.flow_type:
            case "drifting":
                return self._flow(condition, noise)
            case "pointwise":
                return noise + self._flow(condition, noise)
        x = noise
        for step in range(decode_steps):
            start, end = step / decode_steps, (step + 1) / decode_steps
            times = (start, end) if self.flow_type == "lsd" else (start,)
            x = x + self._flow(condition, x, *times) / decode_steps
        return x

    def _flow(self, condition: Tensor, x: Tensor, *times: float) -> Tensor:
        condition = self.cond_embed(condition)
        if times:
            embedded = [embed(time) for embed, time in zip(self.time_embed, times, strict=True)]
            condition = condition + torch.stack(embedded).mean(dim=0)
        x = self.input_proj(x)
        for block in self.res_blocks:
            x = block(x, condition)
        out: Tensor = self.final_layer(x, condition)
        return out

"""The flow head: noise and the backbone's output in, one latent out.

A residual MLP with adaptive layer norm (arXiv:2406.11838), used in one of four ways: Lagrangian self-distillation
(`lsd`, arXiv:2505.18825), flow matching by Euler steps (arXiv:2210.02747), `pointwise` (noise plus output) and
`drifting` (output alone). Knows nothing of text, time or rows' history.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sayline_tts.engine.checkpoint.config import FlowConfig
from sayline_tts.engine.kernels.fused_layers import HeadLoop
from sayline_tts.engine.kernels.precision import Precision
from sayline_tts.engine.models.layers import LayerNorm, Linear, Packs, in_int8

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
        counted = torch.arange(half, device="cpu")  # never on "meta": there it would import half of torch, 1.4 s
        self.register_buffer("freqs", torch.exp(-math.log(10000) * counted / half))
        self.freqs: Tensor

    def forward(self, time: float) -> Tensor:
        angles = time * self.freqs
        out: Tensor = self.mlp(torch.cat([angles.cos(), angles.sin()]))
        return out


class HeadBlock(Packs):
    """`adaLN_modulation` belongs to the whole head once it is packed: its products share their input."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.in_ln = LayerNorm(dim, eps=1e-6)
        self.mlp = nn.Sequential(Linear(dim, dim, activation="silu"), nn.Identity(), Linear(dim, dim))
        self.adaLN_modulation: nn.Sequential | None = nn.Sequential(nn.Identity(), Linear(dim, 3 * dim))
        self._whole: HeadLoop | None = None

    def pack(self, precision: Precision) -> None:
        """Its parts are packed for themselves."""

    def join(self) -> None:
        if products := in_int8(self.mlp[0], self.mlp[2]):
            self._whole = HeadLoop(self.in_ln.numbers(), products)

    def forward(self, x: Tensor, modulation: Tensor) -> Tensor:
        if self._whole is not None:
            return self._whole(x, modulation)
        shift, scale, gate = modulation.chunk(3, dim=-1)
        y = torch.addcmul(shift, self.in_ln(x), scale + 1)
        return torch.addcmul(x, gate, self.mlp(y))


class HeadOutput(nn.Module):
    def __init__(self, dim: int, out_dim: int) -> None:
        super().__init__()
        self.norm_final = nn.LayerNorm(dim, eps=1e-6, elementwise_affine=False)
        self.linear = Linear(dim, out_dim)
        self.adaLN_modulation: nn.Sequential | None = nn.Sequential(nn.Identity(), Linear(dim, 2 * dim))

    def forward(self, x: Tensor, modulation: Tensor) -> Tensor:
        shift, scale = modulation.chunk(2, dim=-1)
        out: Tensor = self.linear(torch.addcmul(shift, self.norm_final(x), scale + 1))
        return out


class FlowHead(Packs):
    def __init__(self, shape: FlowConfig, latent_dim: int, condition_dim: int) -> None:
        super().__init__()
        self.flow_type = shape.type
        self.dtype = torch.float32
        self.time_embed = nn.ModuleList(TimeEmbedding(shape.dim) for _ in range(TIMES_OF_TYPE[shape.type]))
        self.cond_embed = Linear(condition_dim, shape.dim)
        self.input_proj = Linear(latent_dim, shape.dim)
        self.res_blocks = nn.ModuleList(HeadBlock(shape.dim) for _ in range(shape.depth))
        self.final_layer = HeadOutput(shape.dim, latent_dim)
        self._times: dict[tuple[float, ...], Tensor] = {}
        self._modulation: Linear

    def pack(self, precision: Precision) -> None:
        self.dtype = precision.dtype
        parts = []
        for user in (*self.res_blocks, self.final_layer):
            parts.append(user.adaLN_modulation[1])
            user.adaLN_modulation = None
        self._widths = [len(part.bias) for part in parts]
        whole = Linear(parts[0].weight.shape[1], 0)
        whole.weight = nn.Parameter(torch.cat([part.weight.data for part in parts]), requires_grad=False)
        whole.bias = nn.Parameter(torch.cat([part.bias.data for part in parts]), requires_grad=False)
        self._modulation = whole  # a child now, so it is packed with the others

    def sample(self, condition: Tensor, noise: Tensor, decode_steps: int) -> Tensor:
        """Condition `[rows, condition_dim]` and noise `[rows, latent_dim]` to latents `[rows, latent_dim]`, float32.

        `decode_steps` counts integration steps; the one-step types ignore it.
        """
        condition = self.cond_embed(condition.to(self.dtype))
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
        if times:
            condition = condition + self._time(times)
        *modulations, last = self._modulation(F.silu(condition)).split(self._widths, dim=-1)
        x = self.input_proj(x.to(self.dtype))
        for block, modulation in zip(self.res_blocks, modulations, strict=True):
            x = block(x, modulation)
        out: Tensor = self.final_layer(x, last)
        return out.float()

    def _time(self, times: tuple[float, ...]) -> Tensor:
        """The few times that there are, embedded once each."""
        if times not in self._times:
            embedded = [embed(time) for embed, time in zip(self.time_embed, times, strict=True)]
            self._times[times] = torch.stack(embedded).mean(dim=0).to(self.dtype)
        return self._times[times]

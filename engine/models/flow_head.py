"""The flow head: samples one latent from noise, given the backbone's output.

A residual MLP with adaptive layer norm (arXiv:2406.11838). The config selects one of four samplers: Lagrangian
self-distillation (`lsd`, arXiv:2505.18825), flow matching by Euler steps (arXiv:2210.02747), `pointwise` (noise plus
output) and `drifting` (output alone).
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sayline_tts.engine.checkpoint.config import FlowConfig
from sayline_tts.engine.kernels.fused_layers import AdaLNBlockKernel, AdaLNWeights
from sayline_tts.engine.kernels.ops import ADALN_EPS, VARIANCE_NORM_EPS
from sayline_tts.engine.kernels.precision import Precision
from sayline_tts.engine.models.layers import LayerNorm, Linear, Packable, int8_weights

TIME_FREQUENCIES = 256
TIME_INPUTS = {"lsd": 2, "flow_matching": 1, "pointwise": 0, "drifting": 0}


class VarianceNorm(nn.Module):
    """Divide by the unbiased standard deviation without subtracting the mean."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.alpha = nn.Parameter(torch.ones(dim))

    def forward(self, x: Tensor) -> Tensor:
        return x * (self.alpha * torch.rsqrt(x.var(dim=-1, keepdim=True) + VARIANCE_NORM_EPS))


class TimeEmbedding(nn.Module):
    """Sinusoidal embedding of an integration time, then an MLP."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        half = TIME_FREQUENCIES // 2
        self.mlp = nn.Sequential(nn.Linear(TIME_FREQUENCIES, dim), nn.SiLU(), nn.Linear(dim, dim), VarianceNorm(dim))
        counted = torch.arange(half, device="cpu")  # not on "meta": that would import half of torch, 1.4 s
        self.register_buffer("freqs", torch.exp(-math.log(10000) * counted / half))
        self.freqs: Tensor

    def forward(self, time: float) -> Tensor:
        angles = time * self.freqs
        out: Tensor = self.mlp(torch.cat([angles.cos(), angles.sin()]))
        return out


class AdaLNBlock(Packable):
    """Residual block with adaptive layer norm.

    Packing moves `adaLN_modulation` into one linear layer of the whole head, because all blocks share its input.
    """

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.in_ln = LayerNorm(dim, eps=ADALN_EPS)
        self.mlp = nn.Sequential(Linear(dim, dim, activation="silu"), nn.Identity(), Linear(dim, dim))
        self.adaLN_modulation: nn.Sequential | None = nn.Sequential(nn.Identity(), Linear(dim, 3 * dim))
        self._fused: AdaLNBlockKernel | None = None

    def pack(self, precision: Precision) -> None:
        """Do nothing: the submodules are packed on their own."""

    def fuse(self) -> None:
        if weights := int8_weights(self.mlp[0], self.mlp[2]):
            self._fused = AdaLNBlockKernel(AdaLNWeights(self.in_ln.parameters_of_kernel(), *weights))

    def forward(self, x: Tensor, modulation: Tensor) -> Tensor:
        if self._fused is not None:
            return self._fused(x, modulation)
        shift, scale, gate = modulation.chunk(3, dim=-1)
        y = torch.addcmul(shift, self.in_ln(x), scale + 1)
        return torch.addcmul(x, gate, self.mlp(y))


class FinalLayer(nn.Module):
    """Adaptive layer norm without gain, then a linear layer to the latent."""

    def __init__(self, dim: int, out_dim: int) -> None:
        super().__init__()
        self.norm_final = nn.LayerNorm(dim, eps=ADALN_EPS, elementwise_affine=False)
        self.linear = Linear(dim, out_dim)
        self.adaLN_modulation: nn.Sequential | None = nn.Sequential(nn.Identity(), Linear(dim, 2 * dim))

    def forward(self, x: Tensor, modulation: Tensor) -> Tensor:
        shift, scale = modulation.chunk(2, dim=-1)
        out: Tensor = self.linear(torch.addcmul(shift, self.norm_final(x), scale + 1))
        return out


class FlowHead(Packable):
    """Flow MLP. `sample` maps backbone outputs and noise to latents."""

    def __init__(self, shape: FlowConfig, latent_dim: int, condition_dim: int) -> None:
        super().__init__()
        self.flow_type = shape.type
        self.dtype = torch.float32
        self.time_embed = nn.ModuleList(TimeEmbedding(shape.dim) for _ in range(TIME_INPUTS[shape.type]))
        self.cond_embed = Linear(condition_dim, shape.dim)
        self.input_proj = Linear(latent_dim, shape.dim)
        self.res_blocks = nn.ModuleList(AdaLNBlock(shape.dim) for _ in range(shape.depth))
        self.final_layer = FinalLayer(shape.dim, latent_dim)
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
        self._modulation = whole  # now a child module, so `pack` reaches it too

    def sample(self, condition: Tensor, noise: Tensor, decode_steps: int) -> Tensor:
        """Sample latents `[rows, latent_dim]`, float32, from conditions `[rows, condition_dim]` and noise `[rows,
        latent_dim]`.

        `decode_steps` is the number of integration steps; the one-step types ignore it.
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
        """Embed a tuple of times and memoize the result: there are only a few of them."""
        if times not in self._times:
            embedded = [embed(time) for embed, time in zip(self.time_embed, times, strict=True)]
            self._times[times] = torch.stack(embedded).mean(dim=0).to(self.dtype)
        return self._times[times]

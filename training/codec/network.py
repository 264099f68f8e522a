"""Differentiable Mimi: processes whole sequences at once, for training.

Tensor names and arithmetic equal those of `sayline_tts.engine.models.mimi`; a test compares the two. Encoder and
decoder are separate networks here, because each is trained alone.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sayline_tts.engine.cache.rope import rope_factors, rope_frequencies
from sayline_tts.engine.checkpoint.config import MimiConfig, MimiTransformerConfig, SEANetConfig
from training.codec.convolutions import CausalConv1d, CausalConvTranspose1d, DepthwiseUpsample

LAYER_SCALE = 0.3  # initial value; with the published 0.01 the transformers of a small codec hardly learn


class ResidualBlock(nn.Module):
    def __init__(self, dim: int, shape: SEANetConfig) -> None:
        super().__init__()
        hidden = dim // shape.compress
        narrow = CausalConv1d(dim, hidden, shape.residual_kernel_size, elu=True)
        self.block = nn.ModuleList([nn.Identity(), narrow, nn.Identity(), CausalConv1d(hidden, dim, 1, elu=True)])

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = x + self.block[3](self.block[1](x))
        return out


class SEANet(nn.Module):
    def __init__(self, layers: list[nn.Module]) -> None:
        super().__init__()
        self.model = nn.ModuleList(layers)

    def forward(self, x: Tensor) -> Tensor:
        for layer in self.model:
            x = layer(x)
        return x


def seanet_encoder(shape: SEANetConfig) -> SEANet:
    dim = shape.n_filters
    layers: list[nn.Module] = [CausalConv1d(1, dim, shape.kernel_size)]
    for ratio in reversed(shape.ratios):
        layers += [ResidualBlock(dim, shape) for _ in range(shape.n_residual_layers)]
        layers += [nn.Identity(), CausalConv1d(dim, 2 * dim, 2 * ratio, ratio, elu=True)]
        dim *= 2
    return SEANet([*layers, nn.Identity(), CausalConv1d(dim, shape.dimension, shape.last_kernel_size, elu=True)])


def seanet_decoder(shape: SEANetConfig) -> SEANet:
    dim = shape.n_filters * 2 ** len(shape.ratios)
    layers: list[nn.Module] = [CausalConv1d(shape.dimension, dim, shape.kernel_size)]
    for ratio in shape.ratios:
        layers += [nn.Identity(), CausalConvTranspose1d(dim, dim // 2, 2 * ratio, ratio, elu=True)]
        dim //= 2
        layers += [ResidualBlock(dim, shape) for _ in range(shape.n_residual_layers)]
    return SEANet([*layers, nn.Identity(), CausalConv1d(dim, 1, shape.last_kernel_size, elu=True)])


class LayerScale(nn.Module):
    def __init__(self, dim: int) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.full((dim,), LAYER_SCALE))


class Attention(nn.Module):
    def __init__(self, shape: MimiTransformerConfig) -> None:
        super().__init__()
        self.in_proj = nn.Linear(shape.d_model, 3 * shape.d_model, bias=False)
        self.out_proj = nn.Linear(shape.d_model, shape.d_model, bias=False)
        self.heads = shape.num_heads

    def forward(self, x: Tensor, rope: Tensor, mask: Tensor) -> Tensor:
        queries, keys, values = self.in_proj(x).unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        queries, keys = _apply_rotary(queries, rope), _apply_rotary(keys, rope)
        # Written out: for sequences this short, torch's fused attention takes several times as long on a CPU.
        scores = queries @ keys.transpose(-1, -2) * (keys.shape[-1] ** -0.5) + mask.to(keys.dtype)
        out: Tensor = self.out_proj((scores.softmax(-1).to(values.dtype) @ values).transpose(1, 2).flatten(2))
        return out


class Block(nn.Module):
    def __init__(self, shape: MimiTransformerConfig) -> None:
        super().__init__()
        self.self_attn = Attention(shape)
        self.norm1, self.norm2 = nn.LayerNorm(shape.d_model, eps=1e-5), nn.LayerNorm(shape.d_model, eps=1e-5)
        self.linear1 = nn.Linear(shape.d_model, shape.dim_feedforward, bias=False)
        self.linear2 = nn.Linear(shape.dim_feedforward, shape.d_model, bias=False)
        self.layer_scale_1, self.layer_scale_2 = LayerScale(shape.d_model), LayerScale(shape.d_model)

    def forward(self, x: Tensor, rope: Tensor, mask: Tensor) -> Tensor:
        x = x + self.layer_scale_1.scale * self.self_attn(self.norm1(x), rope, mask)
        out: Tensor = x + self.layer_scale_2.scale * self.linear2(
            F.gelu(self.linear1(self.norm2(x)), approximate="tanh")
        )
        return out


class Layers(nn.Module):
    def __init__(self, shape: MimiTransformerConfig) -> None:
        super().__init__()
        self.layers = nn.ModuleList(Block(shape) for _ in range(shape.num_layers))


class MimiTransformer(nn.Module):
    def __init__(self, shape: MimiTransformerConfig) -> None:
        super().__init__()
        if not shape.input_dimension == shape.d_model == shape.output_dimensions[0]:
            raise ValueError("transformers must be as wide as their input and output: there are no projections here")
        self.shape = shape
        self.transformer = Layers(shape)
        self._frequencies = rope_frequencies(shape.head_dim, shape.max_period)

    def forward(self, x: Tensor) -> Tensor:
        positions = torch.arange(x.shape[1])
        rope = rope_factors(positions, self._frequencies)  # [time, head_dim / 2]
        age = positions[:, None] - positions
        mask = torch.zeros(age.shape).masked_fill((age < 0) | (age >= self.shape.context), -torch.inf)
        for block in self.transformer.layers:
            x = block(x, rope, mask)
        return x


class Downsample(nn.Module):
    """A wrapper that gives its convolution the published tensor name, like the next two classes."""

    def __init__(self, dim: int, out_dim: int, stride: int) -> None:
        super().__init__()
        self.conv = CausalConv1d(dim, out_dim, 2 * stride, stride, bias=False, replicate=True)


class Upsample(nn.Module):
    def __init__(self, dim: int, stride: int) -> None:
        super().__init__()
        self.convtr = DepthwiseUpsample(dim, 2 * stride, stride)
        _init_position_waves(self.convtr.convtr.weight)


class Quantizer(nn.Module):
    def __init__(self, dim: int, out_dim: int) -> None:
        super().__init__()
        self.output_proj = nn.Conv1d(dim, out_dim, 1, bias=False)


class Encoder(nn.Module):
    """Audio `[rows, samples]` to latents `[rows, frames, dim]`."""

    def __init__(self, config: MimiConfig) -> None:
        super().__init__()
        self.encoder = seanet_encoder(config.seanet)
        self.encoder_transformer = MimiTransformer(config.transformer)
        self.downsample = Downsample(config.seanet.dimension, config.voice_dim, _stride(config))

    def forward(self, audio: Tensor) -> Tensor:
        latents: Tensor = self.downsample.conv(self.encoder_transformer(self.encoder(audio[..., None])))
        return latents


class Decoder(nn.Module):
    """Latents `[rows, frames, dim]` to audio `[rows, samples]`."""

    def __init__(self, config: MimiConfig) -> None:
        super().__init__()
        width = config.quantizer.output_dimension
        self.quantizer = Quantizer(config.quantizer.dimension, width)
        self.upsample = Upsample(width, _stride(config))
        self.decoder_transformer = MimiTransformer(config.decoder_attention)
        self.decoder = seanet_decoder(config.decoder_conv)

    def features(self, latents: Tensor) -> Tensor:
        """Output of the transformer at 200 Hz, `[rows, 16 * frames, width]`."""
        x = F.linear(latents, self.quantizer.output_proj.weight[:, :, 0])
        out: Tensor = self.decoder_transformer(self.upsample.convtr(x))
        return out

    def waveform(self, features: Tensor) -> Tensor:
        """Features `[rows, time, width]` to audio `[rows, samples]`."""
        out: Tensor = self.decoder(features)[..., 0]
        return out

    def forward(self, latents: Tensor) -> Tensor:
        return self.waveform(self.features(latents))


def _stride(config: MimiConfig) -> int:
    return config.frame_samples // math.prod(config.seanet.ratios)


def _apply_rotary(x: Tensor, rope: Tensor) -> Tensor:
    """Rotate adjacent pairs of `[rows, heads, time, head_dim]` by the angles of their positions."""
    pairs = torch.view_as_complex(x.float().unflatten(-1, (-1, 2)))
    return torch.view_as_real(pairs * rope).flatten(-2).to(x.dtype)


@torch.no_grad()
def _init_position_waves(weight: Tensor) -> None:
    """Initialize each channel with a different slow wave, so that the positions within a frame differ."""
    random = torch.Generator("cpu").manual_seed(0)
    channels, _, kernel = weight.shape
    waves, phases = torch.rand(2, channels, 1, generator=random, device="cpu")
    positions = (torch.arange(kernel, device="cpu") + 0.5) / kernel
    weight[:, 0] = torch.cos(2 * math.pi * (3 * waves * positions + phases))

"""Mimi, the streaming neural codec (arXiv:2410.00037): latents to PCM a frame at a time, voice audio to latents.

One frame is one latent at 12.5 Hz and 1,920 samples at 24 kHz. The decoder always streams: its memory is a
`MimiState`, rows of which step together wherever each of them is. The encoder takes a whole voice prompt.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from engine.cache import KeyValueCache, Span, rows_of
from engine.config import MimiConfig, MimiTransformerConfig, SEANetConfig
from engine.layers import CausalConv1d, CausalConvTranspose1d, Streaming, Tails, Transformer

ENCODER_BLOCK_POSITIONS = 1000  # bounds the attention of a long voice prompt: positions encoded at once


class Elu(nn.Module):
    def forward(self, x: Tensor, tails: Tails | None = None) -> Tensor:
        return F.elu(x)


class ResidualBlock(nn.Module):
    def __init__(self, dim: int, kernel: int, dilation: int, compress: int) -> None:
        super().__init__()
        hidden = dim // compress
        self.block = nn.ModuleList(
            [Elu(), CausalConv1d(dim, hidden, kernel, dilation=dilation), Elu(), CausalConv1d(hidden, dim, 1)]
        )

    def forward(self, x: Tensor, tails: Tails | None = None) -> Tensor:
        y = x
        for layer in self.block:
            y = layer(y, tails)
        return x + y


class SEANet(nn.Module):
    """A chain of convolutions with residual blocks; `model` is numbered as in the published checkpoints."""

    def __init__(self, layers: list[nn.Module]) -> None:
        super().__init__()
        self.model = nn.ModuleList(layers)

    def forward(self, x: Tensor, tails: Tails | None = None) -> Tensor:
        for layer in self.model:
            x = layer(x, tails)
        return x

    @classmethod
    def encoder(cls, shape: SEANetConfig) -> "SEANet":
        """`[rows, 1, samples]` to `[rows, dimension, samples / hop]`."""
        dim = shape.n_filters
        layers: list[nn.Module] = [CausalConv1d(shape.channels, dim, shape.kernel_size)]
        for ratio in reversed(shape.ratios):
            layers += _residuals(dim, shape)
            layers += [Elu(), CausalConv1d(dim, 2 * dim, 2 * ratio, stride=ratio)]
            dim *= 2
        layers += [Elu(), CausalConv1d(dim, shape.dimension, shape.last_kernel_size)]
        return cls(layers)

    @classmethod
    def decoder(cls, shape: SEANetConfig) -> "SEANet":
        """`[rows, dimension, time]` to `[rows, 1, time * hop]`."""
        dim = shape.n_filters * 2 ** len(shape.ratios)
        layers: list[nn.Module] = [CausalConv1d(shape.dimension, dim, shape.kernel_size)]
        for ratio in shape.ratios:
            layers += [Elu(), CausalConvTranspose1d(dim, dim // 2, 2 * ratio, stride=ratio)]
            dim //= 2
            layers += _residuals(dim, shape)
        layers += [Elu(), CausalConv1d(dim, shape.channels, shape.last_kernel_size)]
        return cls(layers)


class MimiTransformer(nn.Module):
    """The codec's transformer at 200 Hz, with projections where its width is not its neighbours'."""

    def __init__(self, shape: MimiTransformerConfig) -> None:
        super().__init__()
        self.shape = shape
        width, (out_width,) = shape.d_model, shape.output_dimensions
        self.transformer = Transformer(
            shape.num_layers, width, width, shape.num_heads, shape.num_heads, shape.dim_feedforward, scaled=True
        )
        wide = shape.input_dimension == width
        self.input_proj = nn.Identity() if wide else nn.Linear(shape.input_dimension, width, bias=False)
        same = out_width == width
        self.output_projs = nn.ModuleList([nn.Identity() if same else nn.Linear(width, out_width, bias=False)])

    def forward(self, x: Tensor, span: Span) -> Tensor:
        """`[rows, time, input_dimension]` to `[rows, time, output_dimension]`."""
        out: Tensor = self.output_projs[0](self.transformer(self.input_proj(x), span))
        return out

    def new_cache(self, pass_length: int, device: torch.device) -> KeyValueCache:
        shape = self.shape
        return KeyValueCache(
            layers=shape.num_layers,
            kv_heads=shape.num_heads,
            head_dim=shape.d_model // shape.num_heads,
            max_period=shape.max_period,
            context=shape.context,
            pass_length=pass_length,
            device=device,
        )


class Quantizer(nn.Module):
    """What is left of the quantizer in a codec of continuous latents: its output projection."""

    def __init__(self, dim: int, out_dim: int) -> None:
        super().__init__()
        self.output_proj = nn.Conv1d(dim, out_dim, 1, bias=False)


class Resample(nn.Module):
    """Holds one convolution under the name that the checkpoints give it."""

    def __init__(self, *, conv: nn.Module | None = None, convtr: nn.Module | None = None) -> None:
        super().__init__()
        if conv is not None:
            self.conv = conv
        if convtr is not None:
            self.convtr = convtr


class Mimi(nn.Module):
    def __init__(self, config: MimiConfig) -> None:
        super().__init__()
        self.config = config
        dimension, decoder_dimension = config.seanet.dimension, config.decoder_conv.dimension
        hop = math.prod(config.seanet.ratios)
        self.stride = config.frame_samples // hop  # positions of the codec's transformers in one frame
        self.encoder = SEANet.encoder(config.seanet)
        self.encoder_transformer = MimiTransformer(config.transformer)
        self.downsample = Resample(
            conv=CausalConv1d(dimension, config.voice_dim, 2 * self.stride, self.stride, bias=False, replicate=True)
        )
        self.quantizer = Quantizer(config.quantizer.dimension, config.quantizer.output_dimension)
        self.upsample = Resample(
            convtr=CausalConvTranspose1d(
                config.outer_dim or decoder_dimension,
                decoder_dimension,
                2 * self.stride,
                self.stride,
                groups=decoder_dimension,
                bias=False,
            )
        )
        self.decoder_transformer = MimiTransformer(config.decoder_attention)
        self.decoder = SEANet.decoder(config.decoder_conv)

    def decode(self, latents: Tensor, state: "MimiState", slots: Tensor) -> Tensor:
        """One frame for each row: latents `[rows, dim]`, slots `[rows]`, PCM in [-1, 1] `[rows, samples]`."""
        tails = state.tails(slots)
        x = self.quantizer.output_proj(latents[:, :, None])
        x = self.upsample.convtr(x, tails)  # [rows, dim, stride]
        x = self.decoder_transformer(x.transpose(1, 2), state.cache.span(slots, self.stride))
        state.cache.advance(slots, self.stride)
        pcm: Tensor = self.decoder(x.transpose(1, 2), tails)
        return pcm[:, 0]

    def encode(self, audio: Tensor) -> Tensor:
        """A whole voice prompt: `[samples]` in [-1, 1] at the model's rate to latents `[frames, dim]`.

        The end is padded with silence to a whole frame.
        """
        x = F.pad(audio, (0, -audio.shape[-1] % self.config.frame_samples))[None, None]
        x = self.encoder(x).transpose(1, 2)  # [1, time, dimension]
        block = min(ENCODER_BLOCK_POSITIONS, x.shape[1])
        cache = self.encoder_transformer.new_cache(block, x.device)
        cache.reserve(1, 0)
        slot = torch.zeros(1, dtype=torch.long)
        done = []
        for part in x.split(block, dim=1):
            done.append(self.encoder_transformer(part, cache.span(slot, part.shape[1])))
            cache.advance(slot, part.shape[1])
        latents: Tensor = self.downsample.conv(torch.cat(done, dim=1).transpose(1, 2))
        return latents[0].T


class MimiState:
    """The decoder's memory for a number of slots: keys and values of its transformer, tails of its convolutions."""

    def __init__(self, mimi: Mimi, device: torch.device) -> None:
        self.cache = mimi.decoder_transformer.new_cache(mimi.stride, device)
        layers = [*mimi.upsample.modules(), *mimi.decoder.modules()]
        self._tails = {
            layer: torch.zeros(0, layer.tail_channels, layer.tail_length, device=device)
            for layer in layers
            if isinstance(layer, Streaming) and layer.tail_length
        }

    def reserve(self, slots: int) -> None:
        self.cache.reserve(slots, 0)
        for layer, tails in self._tails.items():
            new = tails.new_zeros(self.cache.slots - len(tails), *tails.shape[1:])
            self._tails[layer] = torch.cat([tails, new]) if len(new) else tails

    def reset(self, slot: int) -> None:
        """Begin at silence, whatever this slot spoke before."""
        self.cache.positions[slot] = 0
        for tails in self._tails.values():
            tails[slot] = 0.0

    def tails(self, slots: Tensor) -> "SlotTails":
        return SlotTails(self._tails, slots)


class SlotTails:
    """The convolutions' memory, seen by one pass over some slots."""

    def __init__(self, tails: dict[Streaming, Tensor], slots: Tensor) -> None:
        self._all, self._rows = tails, rows_of(slots)

    def take(self, layer: nn.Module) -> Tensor:
        return self._all[layer][self._rows]  # type: ignore[index]  # only streaming layers ask

    def put(self, layer: nn.Module, tail: Tensor) -> None:
        self._all[layer][self._rows] = tail  # type: ignore[index]


def _residuals(dim: int, shape: SEANetConfig) -> list[nn.Module]:
    return [
        ResidualBlock(dim, shape.residual_kernel_size, shape.dilation_base**depth, shape.compress)
        for depth in range(shape.n_residual_layers)
    ]

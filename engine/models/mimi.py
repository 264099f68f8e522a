"""Mimi, the streaming neural codec (arXiv:2410.00037): latents to PCM a frame at a time, voice audio to latents.

One frame is one latent at 12.5 Hz and 1,920 samples at 24 kHz. The decoder always streams: its memory is a
`MimiState`, rows of which step together wherever each of them is. The encoder takes a whole voice prompt.
"""

import math
from collections.abc import Callable
from itertools import groupby

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sayline_tts.engine.cache.kv_cache import CacheShape, KeyValueCache, zeros
from sayline_tts.engine.cache.static_cache import StaticRings
from sayline_tts.engine.checkpoint.config import MimiConfig, MimiTransformerConfig, SEANetConfig
from sayline_tts.engine.device import wants_static
from sayline_tts.engine.kernels.ops import Int8Convolution
from sayline_tts.engine.kernels.precision import Precision
from sayline_tts.engine.models.layers import (
    CausalConv1d,
    CausalConvTranspose1d,
    Chain,
    DepthwiseUpsample,
    Linear,
    Packs,
    Span,
    Streaming,
    Tails,
    Transformer,
)

ENCODER_BLOCK_FRAMES = 8  # of a voice prompt encoded at once: what a pass needs stays in the caches

_Step = Callable[[Tensor, Tails], Tensor]


class ResidualBlock(nn.Module):
    def __init__(self, dim: int, kernel: int, dilation: int, compress: int) -> None:
        super().__init__()
        hidden = dim // compress
        narrow = CausalConv1d(dim, hidden, kernel, dilation=dilation, elu=True)
        back = CausalConv1d(hidden, dim, 1, elu=True)
        self.block = nn.ModuleList([nn.Identity(), narrow, nn.Identity(), back])
        self.convolutions: list[tuple[Streaming, bool]] = [(narrow, False), (back, True)]  # as parts of a chain

    def forward(self, x: Tensor, tails: Tails) -> Tensor:
        out: Tensor = self.block[3](self.block[1](x, tails), tails, residual=x)
        return out


class SEANet(nn.Module):
    """A chain of convolutions with residual blocks, `[rows, time, channels]`.

    `model` is numbered as in the published checkpoints; where these have an activation, a convolution has its `elu`.
    """

    def __init__(self, layers: list[nn.Module]) -> None:
        super().__init__()
        self.model = nn.ModuleList(layers)
        self._steps: list[_Step] = [layer for layer in layers if not isinstance(layer, nn.Identity)]

    def forward(self, x: Tensor, tails: Tails) -> Tensor:
        for step in self._steps:
            x = step(x, tails)
        return x

    def chain(self) -> None:
        """Once packed, a decoder's: what comes after the first step up has so many positions in a row that each row is
        multiplied for itself. Those before share weights that they would wait for.
        """
        together, apart = self._steps[:2], self._steps[2:]
        self._steps = together
        for in_int8, steps in groupby(apart, _in_int8):
            run = list(steps)
            self._steps += [Chain([part for step in run for part in _convolutions(step)])] if in_int8 else run

    @classmethod
    def encoder(cls, shape: SEANetConfig) -> "SEANet":
        """`[rows, samples, 1]` to `[rows, samples / hop, dimension]`."""
        dim = shape.n_filters
        layers: list[nn.Module] = [CausalConv1d(shape.channels, dim, shape.kernel_size)]
        for ratio in reversed(shape.ratios):
            layers += _residuals(dim, shape)
            layers += [nn.Identity(), CausalConv1d(dim, 2 * dim, 2 * ratio, stride=ratio, elu=True)]
            dim *= 2
        layers += [nn.Identity(), CausalConv1d(dim, shape.dimension, shape.last_kernel_size, elu=True)]
        return cls(layers)

    @classmethod
    def decoder(cls, shape: SEANetConfig) -> "SEANet":
        """`[rows, time, dimension]` to `[rows, time * hop, 1]`."""
        dim = shape.n_filters * 2 ** len(shape.ratios)
        layers: list[nn.Module] = [CausalConv1d(shape.dimension, dim, shape.kernel_size)]
        for ratio in shape.ratios:
            layers += [nn.Identity(), CausalConvTranspose1d(dim, dim // 2, 2 * ratio, stride=ratio, elu=True)]
            dim //= 2
            layers += _residuals(dim, shape)
        layers += [nn.Identity(), CausalConv1d(dim, shape.channels, shape.last_kernel_size, elu=True)]
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
        self.input_proj = nn.Identity() if wide else Linear(shape.input_dimension, width, bias=False)
        same = out_width == width
        self.output_projs = nn.ModuleList([nn.Identity() if same else Linear(width, out_width, bias=False)])

    def forward(self, x: Tensor, span: Span) -> Tensor:
        """`[rows, time, input_dimension]` to `[rows, time, output_dimension]`."""
        out: Tensor = self.output_projs[0](self.transformer(self.input_proj(x), span))
        return out

    def cache_shape(self, dtype: torch.dtype, device: torch.device) -> CacheShape:
        """Of its keys and values."""
        shape = self.shape
        return CacheShape(shape.num_layers, shape.num_heads, shape.head_dim, shape.max_period, dtype, device)

    def new_cache(
        self, slots: int, pass_length: int, dtype: torch.dtype, device: torch.device, shared: bool = False
    ) -> KeyValueCache | StaticRings:
        if wants_static(device):
            return StaticRings(self.cache_shape(dtype, device), slots, self.shape.context, pass_length)
        return KeyValueCache(self.cache_shape(dtype, device), slots, self.shape.context, pass_length, shared)


class Quantizer(nn.Module):
    """What is left of the quantizer in a codec of continuous latents: its output projection."""

    def __init__(self, dim: int, out_dim: int) -> None:
        super().__init__()
        self.output_proj = PointwiseConv(dim, out_dim)


class PointwiseConv(Linear):
    """A product that the checkpoints keep as a convolution of one tap."""

    def __init__(self, channels: int, out_channels: int) -> None:
        super().__init__(channels, out_channels, bias=False)
        self.weight = nn.Parameter(torch.empty(out_channels, channels, 1))

    def pack(self, precision: Precision) -> None:
        assert self.weight is not None, "packed twice"
        self.weight = nn.Parameter(self.weight.data[:, :, 0], requires_grad=False)
        super().pack(precision)


class Resample(nn.Module):
    """Holds one convolution under the name that the checkpoints give it."""

    def __init__(self, *, conv: nn.Module | None = None, convtr: nn.Module | None = None) -> None:
        super().__init__()
        if conv is not None:
            self.conv = conv
        if convtr is not None:
            self.convtr = convtr


class Mimi(Packs):
    def __init__(self, config: MimiConfig) -> None:
        super().__init__()
        self.config = config
        self.dtype = self.cache_dtype = torch.float32  # of activations; of keys and values
        dimension, decoder_dimension = config.seanet.dimension, config.decoder_conv.dimension
        hop = math.prod(config.seanet.ratios)
        self.stride = config.frame_samples // hop  # positions of the codec's transformers in one frame
        self.encoder = SEANet.encoder(config.seanet)
        self.encoder_transformer = MimiTransformer(config.transformer)
        self.downsample = Resample(
            conv=CausalConv1d(dimension, config.voice_dim, 2 * self.stride, self.stride, bias=False, replicate=True)
        )
        self.quantizer = Quantizer(config.quantizer.dimension, config.quantizer.output_dimension)
        self.upsample = Resample(convtr=DepthwiseUpsample(decoder_dimension, 2 * self.stride, self.stride))
        self.decoder_transformer = MimiTransformer(config.decoder_attention)
        self.decoder = SEANet.decoder(config.decoder_conv)

    def pack(self, precision: Precision) -> None:
        self.dtype, self.cache_dtype = precision.dtype, precision.cache_dtype

    def join(self) -> None:
        self.decoder.chain()

    def decode(self, latents: Tensor, state: "MimiState", slots: Tensor) -> Tensor:
        """One frame for each row: latents `[rows, dim]`, slots `[rows]`, PCM in [-1, 1] `[rows, samples]`, float32.

        Several threads may decode at once, for slots that are not the same.
        """
        tails = state.tails(slots)
        x = self.quantizer.output_proj(latents.to(self.dtype)[:, None])
        x = self.upsample.convtr(x, tails)  # [rows, stride, dim]
        x = self.decoder_transformer(x, state.cache.span(slots, self.stride))
        state.cache.advance(slots, self.stride)
        pcm: Tensor = self.decoder(x, tails)  # [rows, samples, 1]
        state.store(slots, tails)
        return pcm[:, :, 0].float()

    def encode(self, audio: Tensor) -> Tensor:
        """A whole voice prompt: `[samples]` in [-1, 1] at the model's rate to latents `[frames, dim]`, float32.

        The end is padded with silence to a whole frame.
        """
        frame = self.config.frame_samples
        x = F.pad(audio, (0, -audio.shape[-1] % frame)).to(self.dtype)[None, :, None]  # [1, samples, 1]
        positions = ENCODER_BLOCK_FRAMES * self.stride
        cache = self.encoder_transformer.new_cache(1, positions, self.cache_dtype, x.device)
        slot, tails = torch.zeros(1, dtype=torch.long, device=x.device), _OwnTails()
        latents = []
        for block in x.split(ENCODER_BLOCK_FRAMES * frame, dim=1):
            y = self.encoder(block, tails)  # [1, time, dimension]
            y = self.encoder_transformer(y, cache.span(slot, y.shape[1]))
            cache.advance(slot, y.shape[1])
            latents.append(self.downsample.conv(y, tails)[0])
        return torch.cat(latents).float()


class MimiState:
    """The decoder's memory for `slots` slots: keys and values of its transformer, tails of its convolutions.

    `shared`: with processes that are forked from this one.
    """

    def __init__(self, mimi: Mimi, device: torch.device, slots: int, shared: bool = False) -> None:
        self.cache = self._new_cache(mimi, device, slots, shared)
        self._places: dict[Streaming, tuple[slice, int]] = {}  # of each layer in a slot's row, and its channels
        end = 0
        for layer in (*mimi.upsample.modules(), *mimi.decoder.modules()):
            if isinstance(layer, Streaming) and layer.tail_length:
                start, end = end, end + layer.tail_length * layer.tail_channels
                self._places[layer] = slice(start, end), layer.tail_channels
        self._tails = zeros((slots, end), mimi.dtype, device, shared)

    def _new_cache(self, mimi: Mimi, device: torch.device, slots: int, shared: bool) -> KeyValueCache | StaticRings:
        return mimi.decoder_transformer.new_cache(slots, mimi.stride, mimi.cache_dtype, device, shared)

    def reset(self, slot: int) -> None:
        """Begin at silence, whatever this slot spoke before."""
        self.cache.begin(slot)
        self._tails[slot] = 0.0

    def tails(self, slots: Tensor) -> "SlotTails":
        return SlotTails(self._places, self._tails[slots])

    def store(self, slots: Tensor, tails: "SlotTails") -> None:
        self._tails[slots] = tails.rows


class SlotTails:
    """A copy of the convolutions' memory for one pass over some slots: one gathering and one scattering for all."""

    def __init__(self, places: dict[Streaming, tuple[slice, int]], rows: Tensor) -> None:
        self._places, self.rows = places, rows  # [rows, everything]

    def take(self, layer: Streaming, x: Tensor) -> Tensor:
        place, channels = self._places[layer]
        tail: Tensor = self.rows[:, place].unflatten(1, (-1, channels))
        return tail


class _OwnTails:
    """The memory of one pass after the other over the same rows."""

    def __init__(self) -> None:
        self._tails: dict[Streaming, Tensor] = {}

    def take(self, layer: Streaming, x: Tensor) -> Tensor:
        if layer not in self._tails:
            self._tails[layer] = layer.before(x)
        return self._tails[layer]


def _residuals(dim: int, shape: SEANetConfig) -> list[nn.Module]:
    return [
        ResidualBlock(dim, shape.residual_kernel_size, shape.dilation_base**depth, shape.compress)
        for depth in range(shape.n_residual_layers)
    ]


def _convolutions(step: _Step) -> list[tuple[Streaming, bool]]:
    """What a step is made of, and whether what came into the one before is added."""
    if isinstance(step, ResidualBlock):
        return step.convolutions
    assert isinstance(step, Streaming)
    return [(step, False)]


def _in_int8(step: _Step) -> bool:
    return all(isinstance(part.product, Int8Convolution) for part, _ in _convolutions(step))

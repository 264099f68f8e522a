"""Mimi, the streaming neural codec (arXiv:2410.00037): decodes latents to PCM frame by frame, encodes voice audio.

A frame is one latent at 12.5 Hz and 1,920 samples at 24 kHz. The decoder always streams; its state is a `MimiState`,
any rows of which can be decoded together. The encoder takes a whole voice prompt.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sayline_tts.engine.cache.kv_cache import CacheShape, KVCache, mapped_zeros
from sayline_tts.engine.cache.static_cache import StaticRings
from sayline_tts.engine.checkpoint.config import MimiConfig, MimiTransformerConfig
from sayline_tts.engine.device import uses_static_shapes
from sayline_tts.engine.kernels.precision import Precision
from sayline_tts.engine.models.convolutions import CausalConv1d, DepthwiseUpsample, StreamingConv
from sayline_tts.engine.models.layers import Linear, Packable, SupportsAttention, Transformer
from sayline_tts.engine.models.seanet import SEANet

CONVOLUTION_FRAMES = 4  # at most, that the decoder's convolutions remember
ENCODER_BLOCK_FRAMES = 8  # of a voice prompt, encoded at once: the activations of a pass fit the caches


class MimiTransformer(nn.Module):
    """The codec's transformer at 200 Hz, with projections where its width differs from its neighbours'."""

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

    def forward(self, x: Tensor, metadata: SupportsAttention) -> Tensor:
        """Map `[rows, time, input_dimension]` to `[rows, time, output_dimension]`."""
        out: Tensor = self.output_projs[0](self.transformer(self.input_proj(x), metadata))
        return out

    def cache_shape(self, dtype: torch.dtype, device: torch.device) -> CacheShape:
        """Shape of its KV cache."""
        shape = self.shape
        return CacheShape(shape.num_layers, shape.num_heads, shape.head_dim, shape.max_period, dtype, device)

    def new_cache(
        self, slots: int, pass_length: int, dtype: torch.dtype, device: torch.device, shared: bool = False
    ) -> KVCache | StaticRings:
        """A ring-buffer KV cache for `slots` streams."""
        if uses_static_shapes(device):
            return StaticRings(self.cache_shape(dtype, device), slots, self.shape.context, pass_length)
        return KVCache(self.cache_shape(dtype, device), slots, self.shape.context, pass_length, shared)


class Quantizer(nn.Module):
    """The part of the quantizer that a codec of continuous latents keeps: its output projection."""

    def __init__(self, dim: int, out_dim: int) -> None:
        super().__init__()
        self.output_proj = PointwiseConv(dim, out_dim)


class PointwiseConv(Linear):
    """A linear layer that the checkpoints store as a convolution of one tap."""

    def __init__(self, channels: int, out_channels: int) -> None:
        super().__init__(channels, out_channels, bias=False)
        self.weight = nn.Parameter(torch.empty(out_channels, channels, 1))

    def pack(self, precision: Precision) -> None:
        assert self.weight is not None, "packed twice"
        self.weight = nn.Parameter(self.weight.data[:, :, 0], requires_grad=False)
        super().pack(precision)


class Resample(nn.Module):
    """Holds one convolution under the name that the checkpoints use."""

    def __init__(self, *, conv: nn.Module | None = None, convtr: nn.Module | None = None) -> None:
        super().__init__()
        if conv is not None:
            self.conv = conv
        if convtr is not None:
            self.convtr = convtr


class Mimi(Packable):
    """Encoder and decoder of the codec."""

    def __init__(self, config: MimiConfig) -> None:
        super().__init__()
        self.config = config
        self.dtype = self.cache_dtype = torch.float32  # dtypes of activations; of keys and values
        dimension, decoder_dimension = config.seanet.dimension, config.decoder_conv.dimension
        hop = math.prod(config.seanet.ratios)
        self.stride = config.frame_samples // hop  # transformer positions per frame
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

    def fuse(self) -> None:
        self.decoder.fuse()

    def decode(self, latents: Tensor, state: "MimiState", slots: Tensor) -> Tensor:
        """Decode one frame per row: latents `[rows, dim]` of `slots` `[rows]` to PCM in [-1, 1] `[rows, samples]`,
        float32.

        Several threads may decode disjoint slots at once.
        """
        conv_states = state.gather(slots)
        x = self.quantizer.output_proj(latents.to(self.dtype)[:, None])
        x = self.upsample.convtr(x, conv_states)  # [rows, stride, dim]
        x = self.decoder_transformer(x, state.cache.attention_metadata(slots, self.stride))
        state.cache.advance(slots, self.stride)
        pcm: Tensor = self.decoder(x, conv_states)  # [rows, samples, 1]
        state.scatter(slots, conv_states)
        return pcm[:, :, 0].float()

    def encode(self, audio: Tensor) -> Tensor:
        """Encode a voice prompt: `[samples]` in [-1, 1] at the model's rate to latents `[frames, dim]`, float32.

        The end is padded with silence to a whole frame.
        """
        frame = self.config.frame_samples
        x = F.pad(audio, (0, -audio.shape[-1] % frame)).to(self.dtype)[None, :, None]  # [1, samples, 1]
        positions = ENCODER_BLOCK_FRAMES * self.stride
        cache = self.encoder_transformer.new_cache(1, positions, self.cache_dtype, x.device)
        slot, conv_states = torch.zeros(1, dtype=torch.long, device=x.device), _SequenceConvState()
        latents = []
        for block in x.split(ENCODER_BLOCK_FRAMES * frame, dim=1):
            y = self.encoder(block, conv_states)  # [1, time, dimension]
            y = self.encoder_transformer(y, cache.attention_metadata(slot, y.shape[1]))
            cache.advance(slot, y.shape[1])
            latents.append(self.downsample.conv(y, conv_states)[0])
        return torch.cat(latents).float()


def codec_history_frames(config: MimiConfig) -> int:
    """How many frames before it the PCM of a frame depends on.

    Each layer of the transformer looks back on its context, and the convolutions around it on a frame or two.
    """
    shape, hop = config.decoder_attention, math.prod(config.seanet.ratios)
    return -(-shape.num_layers * shape.context * hop // config.frame_samples) + CONVOLUTION_FRAMES


class MimiState:
    """The decoder's state for `slots` slots: KV cache of its transformer, state of its convolutions.

    `shared`: usable by processes forked from this one.
    """

    def __init__(self, mimi: Mimi, device: torch.device, slots: int, shared: bool = False) -> None:
        self.cache = self._new_cache(mimi, device, slots, shared)
        self._stride = mimi.stride
        self._layout: dict[StreamingConv, tuple[slice, int]] = {}  # each layer's part of a slot's row, and its channels
        end = 0
        for layer in (*mimi.upsample.modules(), *mimi.decoder.modules()):
            if isinstance(layer, StreamingConv) and layer.state_length:
                start, end = end, end + layer.state_length * layer.state_channels
                self._layout[layer] = slice(start, end), layer.state_channels
        self._states = mapped_zeros((slots, end), mimi.dtype, device, shared)

    def _new_cache(self, mimi: Mimi, device: torch.device, slots: int, shared: bool) -> KVCache | StaticRings:
        return mimi.decoder_transformer.new_cache(slots, mimi.stride, mimi.cache_dtype, device, shared)

    def reset(self, slot: int, frames: int = 0) -> None:
        """Start a new stream in this slot, at silence. `frames`: count it as if so many had been decoded; what follows
        is right once `codec_history_frames` have been.
        """
        self.cache.reset(slot)
        if frames:
            self.cache.positions[slot] = frames * self._stride
        self._states[slot] = 0.0

    def gather(self, slots: Tensor) -> "BatchConvState":
        """Gather the convolution state of `slots`, with one copy for all layers."""
        return BatchConvState(self._layout, self._states[slots])

    def scatter(self, slots: Tensor, conv_states: "BatchConvState") -> None:
        """Write gathered convolution state back."""
        self._states[slots] = conv_states.rows

    def snapshot(self, slots: Tensor) -> tuple[Tensor, Tensor]:
        """Copy what `restore` needs to undo a pass over `slots`, also one that ended half way.

        Keys and values are left out: a pass writes them only where no earlier position is visible any more.
        """
        return self.cache.positions[slots], self._states[slots]

    def restore(self, slots: Tensor, snapshot: tuple[Tensor, Tensor]) -> None:
        """Undo whatever a pass has written since `snapshot`."""
        self.cache.positions[slots], self._states[slots] = snapshot


class BatchConvState:
    """Gathered convolution state of some slots for one pass."""

    def __init__(self, layout: dict[StreamingConv, tuple[slice, int]], rows: Tensor) -> None:
        self._layout, self.rows = layout, rows  # [rows, everything]

    def get(self, layer: StreamingConv, x: Tensor) -> Tensor:
        columns, channels = self._layout[layer]
        state: Tensor = self.rows[:, columns].unflatten(1, (-1, channels))
        return state


class _SequenceConvState:
    """Convolution state of consecutive passes over the same rows."""

    def __init__(self) -> None:
        self._states: dict[StreamingConv, Tensor] = {}

    def get(self, layer: StreamingConv, x: Tensor) -> Tensor:
        if layer not in self._states:
            self._states[layer] = layer.initial_state(x)
        return self._states[layer]

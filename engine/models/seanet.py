"""SEANet: the convolutions of Mimi's encoder and decoder (arXiv:2410.00037)."""

from collections.abc import Callable
from itertools import groupby

from torch import Tensor, nn

from sayline_tts.engine.checkpoint.config import SEANetConfig
from sayline_tts.engine.kernels.ops import Int8Convolution
from sayline_tts.engine.models.convolutions import (
    CausalConv1d,
    CausalConvTranspose1d,
    ConvState,
    FusedConvChain,
    StreamingConv,
)

_Layer = Callable[[Tensor, ConvState], Tensor]


class ResidualBlock(nn.Module):
    """Two convolutions with ELU and a skip connection."""

    def __init__(self, dim: int, kernel: int, dilation: int, compress: int) -> None:
        super().__init__()
        hidden = dim // compress
        narrow = CausalConv1d(dim, hidden, kernel, dilation=dilation, elu=True)
        back = CausalConv1d(hidden, dim, 1, elu=True)
        self.block = nn.ModuleList([nn.Identity(), narrow, nn.Identity(), back])
        self.convolutions: list[tuple[StreamingConv, bool]] = [
            (narrow, False),
            (back, True),
        ]  # as parts of a fused chain

    def forward(self, x: Tensor, conv_states: ConvState) -> Tensor:
        out: Tensor = self.block[3](self.block[1](x, conv_states), conv_states, residual=x)
        return out


class SEANet(nn.Module):
    """A chain of convolutions with residual blocks, `[rows, time, channels]`.

    `model` is numbered as in the published checkpoints; where these have an activation, the next convolution has `elu`.
    """

    def __init__(self, layers: list[nn.Module]) -> None:
        super().__init__()
        self.model = nn.ModuleList(layers)
        self._layers: list[_Layer] = [layer for layer in layers if not isinstance(layer, nn.Identity)]

    def forward(self, x: Tensor, conv_states: ConvState) -> Tensor:
        for layer in self._layers:
            x = layer(x, conv_states)
        return x

    def fuse(self) -> None:
        """Fuse the int8 convolutions of a packed decoder behind the first upsampling into chains that run row by row:
        they have so many positions per row that batching rows gains nothing. The layers before it stay batched to share
        weights.
        """
        together, apart = self._layers[:2], self._layers[2:]
        self._layers = together
        for is_int8, layers in groupby(apart, _is_int8):
            run = list(layers)
            self._layers += [FusedConvChain([part for layer in run for part in _conv_parts(layer)])] if is_int8 else run

    @classmethod
    def encoder(cls, shape: SEANetConfig) -> "SEANet":
        """Encoder: `[rows, samples, 1]` to `[rows, samples / hop, dimension]`."""
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
        """Decoder: `[rows, time, dimension]` to `[rows, time * hop, 1]`."""
        dim = shape.n_filters * 2 ** len(shape.ratios)
        layers: list[nn.Module] = [CausalConv1d(shape.dimension, dim, shape.kernel_size)]
        for ratio in shape.ratios:
            layers += [nn.Identity(), CausalConvTranspose1d(dim, dim // 2, 2 * ratio, stride=ratio, elu=True)]
            dim //= 2
            layers += _residuals(dim, shape)
        layers += [nn.Identity(), CausalConv1d(dim, shape.channels, shape.last_kernel_size, elu=True)]
        return cls(layers)


def _residuals(dim: int, shape: SEANetConfig) -> list[nn.Module]:
    return [
        ResidualBlock(dim, shape.residual_kernel_size, shape.dilation_base**depth, shape.compress)
        for depth in range(shape.n_residual_layers)
    ]


def _conv_parts(layer: _Layer) -> list[tuple[StreamingConv, bool]]:
    """The convolutions of a layer, each with the flag of `FusedConvChain`."""
    if isinstance(layer, ResidualBlock):
        return layer.convolutions
    assert isinstance(layer, StreamingConv)
    return [(layer, False)]


def _is_int8(layer: _Layer) -> bool:
    return all(isinstance(part.op, Int8Convolution) for part, _ in _conv_parts(layer))

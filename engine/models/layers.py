"""The building blocks of both networks: attention, transformer, causal convolutions. Batch first, state passed in.

Attribute names are the published tensor names, so that a checkpoint loads without a table of names; `pack` then turns
the weights into products in the precision that was chosen, once. Source of the shapes: Pocket TTS 4.0.1 (`modules/`),
Mimi (arXiv:2410.00037).
"""

from collections.abc import Sequence
from typing import Protocol

import numpy as np
import torch
from torch import Tensor, nn

from sayline_tts.engine.kernels import attention, ops
from sayline_tts.engine.kernels.fused_layers import ChainLoop, TransformerLoop
from sayline_tts.engine.kernels.int8_gemm import Weights
from sayline_tts.engine.kernels.ops import Activation, Convolution, Int8Convolution, Int8Linear, Product
from sayline_tts.engine.kernels.precision import Precision


def pack(network: nn.Module, precision: Precision) -> None:
    """Ready the weights of a whole network for use. They are float32 until then."""
    if isinstance(network, Packs):
        network.pack(precision)
    for part in network.children():
        pack(part, precision)
    if isinstance(network, Packs):
        network.join()


class Packs(nn.Module):
    """A module that readies its own float32 weights; its parts come after it."""

    def pack(self, precision: Precision) -> None:
        raise NotImplementedError

    def join(self) -> None:
        """Once its parts are packed: what they are together."""


class Linear(Packs):
    def __init__(self, channels: int, out_channels: int, bias: bool = True,
                 activation: Activation = None) -> None:  # fmt: skip
        super().__init__()
        self.weight: nn.Parameter | None = nn.Parameter(torch.empty(out_channels, channels))
        self.bias: nn.Parameter | None = nn.Parameter(torch.empty(out_channels)) if bias else None
        self._activation = activation
        self.product: Product

    def pack(self, precision: Precision) -> None:
        assert self.weight is not None, "packed twice"
        self.product = ops.linear(self.weight.data, _data(self.bias), self._activation, precision)
        self.weight = self.bias = None

    def scale(self, outputs: slice, factor: "float | Tensor") -> None:
        """Multiply some outputs for good."""
        assert self.weight is not None, "packed already"
        self.weight.data[outputs] *= factor

    def forward(self, x: Tensor, residual: Tensor | None = None) -> Tensor:
        """`[..., channels]` to `[..., out_channels]`."""
        return self.product(x, residual)


def in_int8(*parts: nn.Module) -> tuple[Weights, ...]:
    """The weights of these products, once they are packed; nothing if they are not in int8, all of them."""
    products = [part.product for part in parts if isinstance(part, Linear)]
    weights = tuple(product.weights for product in products if isinstance(product, Int8Linear))
    return weights if len(weights) == len(parts) else ()


class LayerNorm(nn.LayerNorm, Packs):
    def pack(self, precision: Precision) -> None:
        self.to(precision.dtype)

    def numbers(self) -> tuple[np.ndarray, np.ndarray]:
        """Gain and bias."""
        return self.weight.data.numpy(), self.bias.data.numpy()


class Span(Protocol):
    """A pass over some rows of a cache, which keeps keys and values of all layers."""

    def attend(self, layer: int, projected: Tensor, heads: int) -> Tensor:
        """`[..., heads + 2 * kv_heads, head_dim]`, queries, keys and values, which it turns by their positions, to what
        the queries hear, `[..., heads, head_dim]`.
        """


class Attention(Packs):
    """Causal self-attention with rotary positions and grouped key/value heads."""

    def __init__(self, d_model: int, attention_dim: int, heads: int, kv_heads: int) -> None:
        super().__init__()
        self.head_dim = attention_dim // heads
        self.heads, self.kv_heads = heads, kv_heads
        self.in_proj = Linear(d_model, attention_dim + 2 * kv_heads * self.head_dim, bias=False)
        self.out_proj = Linear(attention_dim, d_model, bias=False)

    def pack(self, precision: Precision) -> None:
        self.in_proj.scale(slice(0, self.heads * self.head_dim), self.head_dim**-0.5)  # of the scores

    def forward(self, x: Tensor, span: Span, layer: int, residual: Tensor) -> Tensor:
        projected = self.in_proj(x).unflatten(-1, (-1, self.head_dim))  # [..., heads + 2 * kv_heads, head_dim]
        heard = span.attend(layer, projected, self.heads)
        out: Tensor = self.out_proj(heard.flatten(-2).to(x.dtype), residual)
        return out


class LayerScale(nn.Module):
    """A learnt gain for each channel. Packing puts it into the product before it."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(dim))


class TransformerBlock(Packs):
    """Pre-norm block; `scaled` adds the learnt per-channel gain of Mimi's blocks."""

    def __init__(self, d_model: int, attention_dim: int, heads: int, kv_heads: int, feedforward_dim: int,
                 scaled: bool) -> None:  # fmt: skip
        super().__init__()
        self.self_attn = Attention(d_model, attention_dim, heads, kv_heads)
        self.norm1 = LayerNorm(d_model, eps=1e-5)
        self.norm2 = LayerNorm(d_model, eps=1e-5)
        self.linear1 = Linear(d_model, feedforward_dim, bias=False, activation="gelu")
        self.linear2 = Linear(feedforward_dim, d_model, bias=False)
        self.layer_scale_1 = LayerScale(d_model) if scaled else None
        self.layer_scale_2 = LayerScale(d_model) if scaled else None
        self._whole: TransformerLoop | None = None

    def pack(self, precision: Precision) -> None:
        for gain, product in ((self.layer_scale_1, self.self_attn.out_proj), (self.layer_scale_2, self.linear2)):
            if gain is not None:
                product.scale(slice(None), gain.scale.data[:, None])
        self.layer_scale_1 = self.layer_scale_2 = None

    def join(self) -> None:
        heard = self.self_attn
        if products := in_int8(heard.in_proj, heard.out_proj, self.linear1, self.linear2):
            norms = *self.norm1.numbers(), *self.norm2.numbers()
            self._whole = TransformerLoop(norms, products, heard.heads, heard.kv_heads)

    def forward(self, x: Tensor, span: Span, layer: int) -> Tensor:
        if self._whole is not None:
            assert isinstance(span, attention.Span), "int8 is for processors"
            return self._whole(x, span, layer)
        x = self.self_attn(self.norm1(x), span, layer, residual=x)
        out: Tensor = self.linear2(self.linear1(self.norm2(x)), residual=x)
        return out


class Transformer(nn.Module):
    """A stack of blocks over one cache: `[..., d_model]` in and out, for all the positions of a pass."""

    def __init__(self, layers: int, d_model: int, attention_dim: int, heads: int, kv_heads: int,
                 feedforward_dim: int, scaled: bool = False) -> None:  # fmt: skip
        super().__init__()
        self.layers = nn.ModuleList(
            TransformerBlock(d_model, attention_dim, heads, kv_heads, feedforward_dim, scaled) for _ in range(layers)
        )

    def forward(self, x: Tensor, span: Span) -> Tensor:
        for index, block in enumerate(self.layers):
            x = block(x, span, index)
        return x


class Tails(Protocol):
    """What streaming convolutions remember between passes: their last inputs, for the rows of this pass."""

    def take(self, layer: "Streaming", x: Tensor) -> Tensor:
        """`[rows, tail_length, tail_channels]`: who takes it leaves there what the next pass is to find. `x` is what
        comes now."""


class Streaming(Packs):
    """A convolution over `[rows, time, channels]` that sees only the past: `tail_length` inputs of `tail_channels`.

    `elu`: its input goes through that first, and so it is remembered. All three kinds are one product over a few taps,
    because the order of our rows makes `stride` neighbours one wider input, or one wide output `stride` neighbours.
    """

    tail_channels: int
    tail_length: int
    out_channels: int
    elu: bool
    replicate = False  # before the beginning was the first input, not silence
    product: Convolution

    def before(self, x: Tensor) -> Tensor:
        """The tail where nothing was before `x`."""
        before = x[:, :1] if self.replicate else x.new_zeros(())
        return before.expand(len(x), self.tail_length, x.shape[2]).clone()

    def tail(self, x: Tensor, tails: Tails) -> Tensor:
        """`[rows, tail_length, channels]`."""
        return tails.take(self, x) if self.tail_length else x.new_empty(len(x), 0, x.shape[2])


class CausalConv1d(Streaming):
    """`[rows, time, channels]` to `[rows, time / stride, out_channels]`. The kernel is a multiple of the stride."""

    def __init__(self, channels: int, out_channels: int, kernel: int, stride: int = 1, dilation: int = 1,
                 bias: bool = True, elu: bool = False, replicate: bool = False) -> None:  # fmt: skip
        super().__init__()
        self.conv: nn.Conv1d | None = nn.Conv1d(channels, out_channels, kernel, stride, dilation=dilation, bias=bias)
        self.stride, self.dilation, self.elu, self.replicate = stride, dilation, elu, replicate
        self.tail_channels, self.tail_length = channels, (kernel - 1) * dilation + 1 - stride
        self.out_channels = out_channels

    def pack(self, precision: Precision) -> None:
        assert self.conv is not None, "packed twice"
        weight = self.conv.weight.data  # [out, in, kernel]
        weight = weight.unflatten(2, (-1, self.stride)).permute(0, 3, 1, 2).flatten(1, 2)  # [out, stride * in, taps]
        self.product = ops.convolution(weight, _data(self.conv.bias), self.dilation, self.elu, precision)
        self.conv = None

    def forward(self, x: Tensor, tails: Tails, residual: Tensor | None = None) -> Tensor:
        return self.product(self._wide(x), self._wide(self.tail(x, tails)), residual)

    def _wide(self, x: Tensor) -> Tensor:
        """`stride` neighbours as one."""
        rows, time, channels = x.shape
        return x.view(rows, time // self.stride, self.stride * channels)


class CausalConvTranspose1d(Streaming):
    """`[rows, time, channels]` to `[rows, time * stride, out_channels]`. The kernel is a multiple of the stride."""

    def __init__(self, channels: int, out_channels: int, kernel: int, stride: int, elu: bool = False) -> None:
        super().__init__()
        self.convtr: nn.ConvTranspose1d | None = nn.ConvTranspose1d(channels, out_channels, kernel, stride)
        self.stride, self.elu = stride, elu
        self.tail_channels, self.tail_length, self.out_channels = channels, kernel // stride - 1, out_channels

    def pack(self, precision: Precision) -> None:
        assert self.convtr is not None, "packed twice"
        weight = self.convtr.weight.data.unflatten(2, (-1, self.stride)).flip(2)  # [in, out, taps, stride]
        weight = weight.permute(3, 1, 0, 2).flatten(0, 1)  # [stride * out, in, taps]
        bias = _data(self.convtr.bias)
        bias = None if bias is None else bias.repeat(self.stride)
        self.product = ops.convolution(weight, bias, 1, self.elu, precision)
        self.convtr = None

    def forward(self, x: Tensor, tails: Tails) -> Tensor:
        y = self.product(x, self.tail(x, tails))
        return y.view(y.shape[0], y.shape[1] * self.stride, -1)


class Chain:
    """Convolutions one after the other in one loop, once they are packed in int8. With each: is what came into the one
    before it added? Their tails have to be known before what comes in.
    """

    def __init__(self, convolutions: Sequence[tuple[Streaming, bool]]) -> None:
        self._convolutions = [convolution for convolution, _ in convolutions]
        products = [(each.product, onto) for each, onto in convolutions if isinstance(each.product, Int8Convolution)]
        assert len(products) == len(convolutions), "not all of them are in int8"
        self._loop = ChainLoop(products)

    def __call__(self, x: Tensor, tails: Tails) -> Tensor:
        y = self._loop(x, [convolution.tail(x, tails) for convolution in self._convolutions])
        return y.view(len(x), -1, self._convolutions[-1].out_channels)


class DepthwiseUpsample(Streaming):
    """A transposed convolution of each channel alone: `[rows, time, dim]` to `[rows, time * stride, dim]`."""

    def __init__(self, dim: int, kernel: int, stride: int) -> None:
        super().__init__()
        self.convtr: nn.ConvTranspose1d | None = nn.ConvTranspose1d(dim, dim, kernel, stride, groups=dim, bias=False)
        self.stride, self.elu = stride, False
        self.tail_channels, self.tail_length, self.out_channels = dim, kernel // stride - 1, dim
        self._weight: Tensor

    def pack(self, precision: Precision) -> None:
        assert self.convtr is not None, "packed twice"
        weight = self.convtr.weight.data[:, 0].unflatten(1, (-1, self.stride)).flip(1)  # [dim, taps, stride]
        self._weight = weight.permute(1, 2, 0).contiguous().to(precision.dtype)  # [taps, stride, dim]
        self.convtr = None

    def forward(self, x: Tensor, tails: Tails) -> Tensor:
        time = x.shape[1]
        x = ops.joined(self.tail(x, tails), x, self.elu)[:, :, None]  # [rows, taps - 1 + time, 1, dim]
        y = sum(x[:, tap : tap + time] * weight for tap, weight in enumerate(self._weight))
        assert isinstance(y, Tensor)
        return y.flatten(1, 2)


def _data(parameter: Tensor | None) -> Tensor | None:
    return None if parameter is None else parameter.data

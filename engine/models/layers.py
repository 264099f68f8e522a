"""Building blocks of both networks: attention, transformer, causal convolutions. Batch first; state is passed in.

Attribute names are the published tensor names, so a checkpoint loads without a mapping; `pack` then converts the
weights to packed ops in the chosen precision, once. Source of the shapes: Pocket TTS 4.0.1 (`modules/`), Mimi
(arXiv:2410.00037).
"""

from collections.abc import Sequence
from typing import Protocol

import numpy as np
import torch
from torch import Tensor, nn

from sayline_tts.engine.kernels import attention, ops
from sayline_tts.engine.kernels.fused_layers import ConvChainKernel, TransformerBlockKernel
from sayline_tts.engine.kernels.int8_gemm import PackedWeights
from sayline_tts.engine.kernels.ops import Activation, ConvolutionOp, Int8Convolution, Int8Linear, LinearOp
from sayline_tts.engine.kernels.precision import Precision


def pack(network: nn.Module, precision: Precision) -> None:
    """Pack the float32 weights of a whole network in place for inference."""
    if isinstance(network, Packable):
        network.pack(precision)
    for part in network.children():
        pack(part, precision)
    if isinstance(network, Packable):
        network.fuse()


class Packable(nn.Module):
    """A module that packs its own float32 weights. `pack` visits a module before its children."""

    def pack(self, precision: Precision) -> None:
        raise NotImplementedError

    def fuse(self) -> None:
        """Replace packed submodules by one fused kernel where there is one. Called after the children are packed."""


class Linear(Packable):
    """Linear layer with an optional activation."""

    def __init__(self, channels: int, out_channels: int, bias: bool = True,
                 activation: Activation = None) -> None:  # fmt: skip
        super().__init__()
        self.weight: nn.Parameter | None = nn.Parameter(torch.empty(out_channels, channels))
        self.bias: nn.Parameter | None = nn.Parameter(torch.empty(out_channels)) if bias else None
        self._activation = activation
        self.op: LinearOp

    def pack(self, precision: Precision) -> None:
        assert self.weight is not None, "packed twice"
        self.op = ops.linear(self.weight.data, _data(self.bias), self._activation, precision)
        self.weight = self.bias = None

    def scale(self, outputs: slice, factor: "float | Tensor") -> None:
        """Multiply the weights of some outputs by a factor, before packing."""
        assert self.weight is not None, "packed already"
        self.weight.data[outputs] *= factor

    def forward(self, x: Tensor, residual: Tensor | None = None) -> Tensor:
        """Map `[..., channels]` to `[..., out_channels]`."""
        return self.op(x, residual)


def int8_weights(*parts: nn.Module) -> tuple[PackedWeights, ...]:
    """Packed weights of these linear layers; an empty tuple unless all of them are in int8."""
    ops_ = [part.op for part in parts if isinstance(part, Linear)]
    weights = tuple(op.weights for op in ops_ if isinstance(op, Int8Linear))
    return weights if len(weights) == len(parts) else ()


class LayerNorm(nn.LayerNorm, Packable):
    """Layer norm in the activations' dtype."""

    def pack(self, precision: Precision) -> None:
        self.to(precision.dtype)

    def gain_and_bias(self) -> tuple[np.ndarray, np.ndarray]:
        """Gain and bias, as arrays."""
        return self.weight.data.numpy(), self.bias.data.numpy()


class SupportsAttention(Protocol):
    """Metadata of one pass over some rows of a KV cache, for all layers."""

    def attend(self, layer: int, qkv: Tensor, heads: int) -> Tensor:
        """Store new keys and values and attend: queries, keys and values `[..., heads + 2 * kv_heads, head_dim]`,
        before the rotary embedding, to outputs `[..., heads, head_dim]`.
        """


class Attention(Packable):
    """Causal self-attention with rotary positions and grouped-query key/value heads."""

    def __init__(self, d_model: int, attention_dim: int, heads: int, kv_heads: int) -> None:
        super().__init__()
        self.head_dim = attention_dim // heads
        self.heads, self.kv_heads = heads, kv_heads
        self.in_proj = Linear(d_model, attention_dim + 2 * kv_heads * self.head_dim, bias=False)
        self.out_proj = Linear(attention_dim, d_model, bias=False)

    def pack(self, precision: Precision) -> None:
        self.in_proj.scale(slice(0, self.heads * self.head_dim), self.head_dim**-0.5)  # the scale of attention scores

    def forward(self, x: Tensor, span: SupportsAttention, layer: int, residual: Tensor) -> Tensor:
        qkv = self.in_proj(x).unflatten(-1, (-1, self.head_dim))  # [..., heads + 2 * kv_heads, head_dim]
        attention_out = span.attend(layer, qkv, self.heads)
        out: Tensor = self.out_proj(attention_out.flatten(-2).to(x.dtype), residual)
        return out


class LayerScale(nn.Module):
    """A learnt gain for each channel. Packing folds it into the preceding linear layer."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(dim))


class TransformerBlock(Packable):
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
        self._fused: TransformerBlockKernel | None = None

    def pack(self, precision: Precision) -> None:
        for gain, op in ((self.layer_scale_1, self.self_attn.out_proj), (self.layer_scale_2, self.linear2)):
            if gain is not None:
                op.scale(slice(None), gain.scale.data[:, None])
        self.layer_scale_1 = self.layer_scale_2 = None

    def fuse(self) -> None:
        attention_out = self.self_attn
        if ops_ := int8_weights(attention_out.in_proj, attention_out.out_proj, self.linear1, self.linear2):
            norms = *self.norm1.gain_and_bias(), *self.norm2.gain_and_bias()
            self._fused = TransformerBlockKernel(norms, ops_, attention_out.heads, attention_out.kv_heads)

    def forward(self, x: Tensor, span: SupportsAttention, layer: int) -> Tensor:
        if self._fused is not None:
            assert isinstance(span, attention.AttentionMetadata), "int8 is for processors"
            return self._fused(x, span, layer)
        x = self.self_attn(self.norm1(x), span, layer, residual=x)
        out: Tensor = self.linear2(self.linear1(self.norm2(x)), residual=x)
        return out


class Transformer(nn.Module):
    """A stack of blocks over one cache: `[..., d_model]` in and out, for all positions of a pass."""

    def __init__(self, layers: int, d_model: int, attention_dim: int, heads: int, kv_heads: int,
                 feedforward_dim: int, scaled: bool = False) -> None:  # fmt: skip
        super().__init__()
        self.layers = nn.ModuleList(
            TransformerBlock(d_model, attention_dim, heads, kv_heads, feedforward_dim, scaled) for _ in range(layers)
        )

    def forward(self, x: Tensor, span: SupportsAttention) -> Tensor:
        for index, block in enumerate(self.layers):
            x = block(x, span, index)
        return x


class ConvState(Protocol):
    """State of streaming convolutions between passes: their last inputs, for the rows of this pass."""

    def get(self, layer: "StreamingConv", x: Tensor) -> Tensor:
        """State of a layer, `[rows, state_length, state_channels]`, which the layer updates in place. `x`: its new
        input.
        """


class StreamingConv(Packable):
    """A causal convolution over `[rows, time, channels]` whose state is its last `state_length` inputs.

    `elu`: the input goes through ELU first, and the state holds it after ELU. All three kinds are one product over a
    few taps: in this layout `stride` neighbours are one wider input, or one wide output is `stride` neighbours.
    """

    state_channels: int
    state_length: int
    out_channels: int
    elu: bool
    replicate = False  # the state before a stream begins is its first input, not silence
    op: ConvolutionOp

    def initial_state(self, x: Tensor) -> Tensor:
        """State at the beginning of a stream that starts with `x`."""
        initial_state = x[:, :1] if self.replicate else x.new_zeros(())
        return initial_state.expand(len(x), self.state_length, x.shape[2]).clone()

    def state(self, x: Tensor, states: ConvState) -> Tensor:
        """State of this layer, `[rows, state_length, channels]`."""
        return states.get(self, x) if self.state_length else x.new_empty(len(x), 0, x.shape[2])


class CausalConv1d(StreamingConv):
    """Map `[rows, time, channels]` to `[rows, time / stride, out_channels]`. The kernel is a multiple of the stride."""

    def __init__(self, channels: int, out_channels: int, kernel: int, stride: int = 1, dilation: int = 1,
                 bias: bool = True, elu: bool = False, replicate: bool = False) -> None:  # fmt: skip
        super().__init__()
        self.conv: nn.Conv1d | None = nn.Conv1d(channels, out_channels, kernel, stride, dilation=dilation, bias=bias)
        self.stride, self.dilation, self.elu, self.replicate = stride, dilation, elu, replicate
        self.state_channels, self.state_length = channels, (kernel - 1) * dilation + 1 - stride
        self.out_channels = out_channels

    def pack(self, precision: Precision) -> None:
        assert self.conv is not None, "packed twice"
        weight = self.conv.weight.data  # [out, in, kernel]
        weight = weight.unflatten(2, (-1, self.stride)).permute(0, 3, 1, 2).flatten(1, 2)  # [out, stride * in, taps]
        self.op = ops.convolution(weight, _data(self.conv.bias), self.dilation, self.elu, precision)
        self.conv = None

    def forward(self, x: Tensor, states: ConvState, residual: Tensor | None = None) -> Tensor:
        return self.op(self._fold_stride(x), self._fold_stride(self.state(x, states)), residual)

    def _fold_stride(self, x: Tensor) -> Tensor:
        """Reshape `stride` neighbours to one wider input."""
        rows, time, channels = x.shape
        return x.view(rows, time // self.stride, self.stride * channels)


class CausalConvTranspose1d(StreamingConv):
    """Map `[rows, time, channels]` to `[rows, time * stride, out_channels]`. The kernel is a multiple of the stride."""

    def __init__(self, channels: int, out_channels: int, kernel: int, stride: int, elu: bool = False) -> None:
        super().__init__()
        self.convtr: nn.ConvTranspose1d | None = nn.ConvTranspose1d(channels, out_channels, kernel, stride)
        self.stride, self.elu = stride, elu
        self.state_channels, self.state_length, self.out_channels = channels, kernel // stride - 1, out_channels

    def pack(self, precision: Precision) -> None:
        assert self.convtr is not None, "packed twice"
        weight = self.convtr.weight.data.unflatten(2, (-1, self.stride)).flip(2)  # [in, out, taps, stride]
        weight = weight.permute(3, 1, 0, 2).flatten(0, 1)  # [stride * out, in, taps]
        bias = _data(self.convtr.bias)
        bias = None if bias is None else bias.repeat(self.stride)
        self.op = ops.convolution(weight, bias, 1, self.elu, precision)
        self.convtr = None

    def forward(self, x: Tensor, states: ConvState) -> Tensor:
        y = self.op(x, self.state(x, states))
        return y.view(y.shape[0], y.shape[1] * self.stride, -1)


class FusedConvChain:
    """Consecutive int8 convolutions in one kernel. The flag of each: add the previous convolution's input to the
    output.

    All states are fetched before any convolution runs, so none may depend on its input (`replicate`).
    """

    def __init__(self, convolutions: Sequence[tuple[StreamingConv, bool]]) -> None:
        self._convolutions = [convolution for convolution, _ in convolutions]
        ops_ = [(each.op, adds_input) for each, adds_input in convolutions if isinstance(each.op, Int8Convolution)]
        assert len(ops_) == len(convolutions), "not all of them are in int8"
        self._loop = ConvChainKernel(ops_)

    def __call__(self, x: Tensor, states: ConvState) -> Tensor:
        y = self._loop(x, [convolution.state(x, states) for convolution in self._convolutions])
        return y.view(len(x), -1, self._convolutions[-1].out_channels)


class DepthwiseUpsample(StreamingConv):
    """A transposed depthwise convolution: `[rows, time, dim]` to `[rows, time * stride, dim]`."""

    def __init__(self, dim: int, kernel: int, stride: int) -> None:
        super().__init__()
        self.convtr: nn.ConvTranspose1d | None = nn.ConvTranspose1d(dim, dim, kernel, stride, groups=dim, bias=False)
        self.stride, self.elu = stride, False
        self.state_channels, self.state_length, self.out_channels = dim, kernel // stride - 1, dim
        self._weight: Tensor

    def pack(self, precision: Precision) -> None:
        assert self.convtr is not None, "packed twice"
        weight = self.convtr.weight.data[:, 0].unflatten(1, (-1, self.stride)).flip(1)  # [dim, taps, stride]
        self._weight = weight.permute(1, 2, 0).contiguous().to(precision.dtype)  # [taps, stride, dim]
        self.convtr = None

    def forward(self, x: Tensor, states: ConvState) -> Tensor:
        time = x.shape[1]
        x = ops.concat_state(self.state(x, states), x, self.elu)[:, :, None]  # [rows, taps - 1 + time, 1, dim]
        y = sum(x[:, tap : tap + time] * weight for tap, weight in enumerate(self._weight))
        assert isinstance(y, Tensor)
        return y.flatten(1, 2)


def _data(parameter: Tensor | None) -> Tensor | None:
    return None if parameter is None else parameter.data

"""Building blocks of both networks: packing, linear layers, attention, transformer. Batch first; state is passed in.

Attribute names are the published tensor names, so a checkpoint loads without a mapping; `pack` then converts the
weights to packed ops in the chosen precision, once. Source of the shapes: Pocket TTS 4.0.1 (`modules/`), Mimi
(arXiv:2410.00037).
"""

from typing import Protocol

import torch
from torch import Tensor, nn

from sayline_tts.engine.kernels import ops
from sayline_tts.engine.kernels.attention import AttentionMetadata
from sayline_tts.engine.kernels.fused_layers import Norm, TransformerBlockKernel, TransformerWeights
from sayline_tts.engine.kernels.int8_gemm import PackedWeights
from sayline_tts.engine.kernels.ops import (
    LAYER_NORM_EPS,
    Activation,
    Int8Linear,
    LinearOp,
)
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
        self.op = ops.linear(self.weight.data, data_of(self.bias), self._activation, precision)
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
    linear_ops = [part.op for part in parts if isinstance(part, Linear)]
    weights = tuple(op.weights for op in linear_ops if isinstance(op, Int8Linear))
    return weights if len(weights) == len(parts) else ()


class LayerNorm(nn.LayerNorm, Packable):
    """Layer norm in the activations' dtype."""

    def pack(self, precision: Precision) -> None:
        self.to(precision.dtype)

    def parameters_of_kernel(self) -> Norm:
        return Norm(self.weight.data.numpy(), self.bias.data.numpy())


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

    def forward(self, x: Tensor, metadata: SupportsAttention, layer: int, residual: Tensor) -> Tensor:
        qkv = self.in_proj(x).unflatten(-1, (-1, self.head_dim))  # [..., heads + 2 * kv_heads, head_dim]
        attention_out = metadata.attend(layer, qkv, self.heads)
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
        self.norm1 = LayerNorm(d_model, eps=LAYER_NORM_EPS)
        self.norm2 = LayerNorm(d_model, eps=LAYER_NORM_EPS)
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
        attn = self.self_attn
        if weights := int8_weights(attn.in_proj, attn.out_proj, self.linear1, self.linear2):
            in_proj, out_proj, up, down = weights
            norm_1, norm_2 = self.norm1.parameters_of_kernel(), self.norm2.parameters_of_kernel()
            self._fused = TransformerBlockKernel(
                TransformerWeights(norm_1, norm_2, in_proj, out_proj, up, down, attn.heads, attn.kv_heads)
            )

    def forward(self, x: Tensor, metadata: SupportsAttention, layer: int) -> Tensor:
        if self._fused is not None:
            assert isinstance(metadata, AttentionMetadata), "int8 needs a CPU"
            return self._fused(x, metadata, layer)
        x = self.self_attn(self.norm1(x), metadata, layer, residual=x)
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

    def forward(self, x: Tensor, metadata: SupportsAttention) -> Tensor:
        for index, block in enumerate(self.layers):
            x = block(x, metadata, index)
        return x


def data_of(parameter: Tensor | None) -> Tensor | None:
    """The tensor of an optional parameter."""
    return None if parameter is None else parameter.data

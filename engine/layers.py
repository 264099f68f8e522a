"""The building blocks of both networks: attention, transformer, causal convolutions. Batch first, state passed in.

Attribute names are the published tensor names, so that a checkpoint loads without a table of names.
Source of the shapes: Pocket TTS 4.0.1 (`modules/`), Mimi (arXiv:2410.00037).
"""

from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from engine.cache import Span


class Attention(nn.Module):
    """Causal self-attention with rotary positions and grouped key/value heads."""

    def __init__(self, d_model: int, attention_dim: int, heads: int, kv_heads: int) -> None:
        super().__init__()
        self.attention_dim, self.heads, self.kv_heads = attention_dim, heads, kv_heads
        self.head_dim = attention_dim // heads
        self.in_proj = nn.Linear(d_model, attention_dim + 2 * kv_heads * self.head_dim, bias=False)
        self.out_proj = nn.Linear(attention_dim, d_model, bias=False)

    def forward(self, x: Tensor, span: Span, layer: int) -> Tensor:
        rows, length, _ = x.shape
        projected = self.in_proj(x)
        queries = projected[..., : self.attention_dim].view(rows, length, self.heads, self.head_dim)
        both = projected[..., self.attention_dim :].view(rows, length, 2, self.kv_heads, self.head_dim)
        keys, values = span.extend(layer, _rotate(both[:, :, 0], span.rotation), both[:, :, 1])
        heard = F.scaled_dot_product_attention(
            _rotate(queries, span.rotation).transpose(1, 2),
            keys,
            values,
            attn_mask=span.mask,
            enable_gqa=self.kv_heads != self.heads,
        )  # [rows, heads, length, head_dim]
        out: Tensor = self.out_proj(heard.transpose(1, 2).reshape(rows, length, self.attention_dim))
        return out


class LayerScale(nn.Module):
    def __init__(self, dim: int) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(dim))

    def forward(self, x: Tensor) -> Tensor:
        return self.scale * x


class TransformerBlock(nn.Module):
    """Pre-norm block; `scaled` adds the learnt per-channel gain of Mimi's blocks."""

    def __init__(self, d_model: int, attention_dim: int, heads: int, kv_heads: int, feedforward_dim: int,
                 scaled: bool) -> None:  # fmt: skip
        super().__init__()
        self.self_attn = Attention(d_model, attention_dim, heads, kv_heads)
        self.norm1 = nn.LayerNorm(d_model, eps=1e-5)
        self.norm2 = nn.LayerNorm(d_model, eps=1e-5)
        self.linear1 = nn.Linear(d_model, feedforward_dim, bias=False)
        self.linear2 = nn.Linear(feedforward_dim, d_model, bias=False)
        self.layer_scale_1 = LayerScale(d_model) if scaled else nn.Identity()
        self.layer_scale_2 = LayerScale(d_model) if scaled else nn.Identity()

    def forward(self, x: Tensor, span: Span, layer: int) -> Tensor:
        x = x + self.layer_scale_1(self.self_attn(self.norm1(x), span, layer))
        hidden = F.gelu(self.linear1(self.norm2(x)), approximate="tanh")
        out: Tensor = x + self.layer_scale_2(self.linear2(hidden))
        return out


class Transformer(nn.Module):
    """A stack of blocks over one cache: `[rows, length, d_model]` in and out."""

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
    """What streaming convolutions remember between passes: a tensor a layer, for the rows of this pass."""

    def take(self, layer: nn.Module) -> Tensor: ...

    def put(self, layer: nn.Module, tail: Tensor) -> None: ...


class Streaming(nn.Module):
    """A layer with a memory of `tail_length` samples in `tail_channels` channels a row."""

    tail_channels: int
    tail_length: int


class CausalConv1d(Streaming):
    """Convolution over `[rows, channels, time]` that sees only the past.

    With `tails` it goes on from the last pass; without, it starts from silence (or, with `replicate`, from
    the first sample repeated).
    """

    def __init__(self, channels: int, out_channels: int, kernel: int, stride: int = 1, dilation: int = 1,
                 bias: bool = True, replicate: bool = False) -> None:  # fmt: skip
        super().__init__()
        self.conv = nn.Conv1d(channels, out_channels, kernel, stride, dilation=dilation, bias=bias)
        self.replicate = replicate
        self.tail_channels = channels
        self.tail_length = (kernel - 1) * dilation + 1 - stride

    def forward(self, x: Tensor, tails: Tails | None = None) -> Tensor:
        if self.tail_length:
            x = torch.cat([tails.take(self) if tails else self._silence(x), x], dim=-1)
            if tails:
                tails.put(self, x[..., -self.tail_length :])
        out: Tensor = self.conv(x)
        return out

    def _silence(self, x: Tensor) -> Tensor:
        if self.replicate:
            return x[..., :1].expand(-1, -1, self.tail_length)
        return x.new_zeros(*x.shape[:2], self.tail_length)


class CausalConvTranspose1d(Streaming):
    """Upsampling by `stride`; what reaches into the next pass is kept and added there."""

    def __init__(self, channels: int, out_channels: int, kernel: int, stride: int, groups: int = 1,
                 bias: bool = True) -> None:  # fmt: skip
        super().__init__()
        self.convtr = nn.ConvTranspose1d(channels, out_channels, kernel, stride, groups=groups, bias=bias)
        self.tail_channels = out_channels
        self.tail_length = kernel - stride

    def forward(self, x: Tensor, tails: Tails) -> Tensor:
        y: Tensor = self.convtr(x)
        y[..., : self.tail_length] += tails.take(self)
        tail = y[..., -self.tail_length :]
        # The bias is in every output once already; the overlap must not bring it a second time.
        tails.put(self, tail if self.convtr.bias is None else tail - self.convtr.bias[:, None])
        return y[..., : -self.tail_length]


def _rotate(x: Tensor, rotation: Tensor) -> Tensor:
    """Turn neighbouring pairs of `[rows, length, heads, head_dim]` by their position's angle."""
    pairs = torch.view_as_complex(x.view(*x.shape[:-1], -1, 2))
    return torch.view_as_real(pairs * rotation).flatten(-2)

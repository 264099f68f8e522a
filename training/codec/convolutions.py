"""Differentiable causal convolutions over `[rows, time, channels]`, for training the codec.

Tensor names and arithmetic equal those of `sayline_tts.engine.models.layers`. Each convolution is one matrix product.
Narrow ones fold several adjacent positions into one wide row, which a CPU multiplies several times faster than the few
channels of one position.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

MIN_WIDTH = 64  # of a row of the product


class CausalConv1d(nn.Module):
    """A causal convolution with stride 1, or with a kernel of twice the stride. `elu`: apply ELU to the input."""

    def __init__(self, channels: int, out_channels: int, kernel: int, stride: int = 1, bias: bool = True,
                 elu: bool = False, replicate: bool = False) -> None:  # fmt: skip
        super().__init__()
        if stride > 1 and kernel != 2 * stride:
            raise ValueError(f"a kernel of {kernel} does not fit the stride {stride}")
        self.conv = nn.Conv1d(channels, out_channels, kernel, stride, bias=bias)
        self.stride, self.elu, self.replicate = stride, elu, replicate

    def forward(self, x: Tensor) -> Tensor:
        x = F.elu(x) if self.elu else x
        return self._strided(x) if self.stride > 1 else self._same_rate(x)

    def _strided(self, x: Tensor) -> Tensor:
        steps = x.unflatten(1, (-1, self.stride)).flatten(2)  # [rows, time / stride, stride * channels]
        before = x[:, :1].repeat(1, 1, self.stride) if self.replicate else torch.zeros_like(steps[:, :1])
        windows = torch.cat([torch.cat([before, steps[:, :-1]], 1), steps], -1)
        return F.linear(windows, self.conv.weight.transpose(1, 2).flatten(1), self.conv.bias)

    def _same_rate(self, x: Tensor) -> Tensor:
        rows, time, channels = x.shape
        kernel = self.conv.kernel_size[0]
        if kernel == 1:
            return F.linear(x, self.conv.weight[:, :, 0], self.conv.bias)
        fold = _fold(time, channels)
        if kernel - 1 <= fold:
            steps = x.reshape(rows, time // fold, fold * channels)
            before = F.pad(steps[:, :-1, -(kernel - 1) * channels :], (0, 0, 1, 0))
            windows = torch.cat([before, steps], -1)
        else:
            fold = 1
            padded = F.pad(x, (0, 0, kernel - 1, 0))
            windows = torch.cat([padded[:, tap : tap + time] for tap in range(kernel)], -1)
        weight = self.conv.weight.transpose(1, 2)  # [out, kernel, channels]
        if fold > 1:
            weight = torch.cat([F.pad(weight, (0, 0, shift, fold - 1 - shift)) for shift in range(fold)])
        bias = None if self.conv.bias is None else self.conv.bias.repeat(fold)
        return F.linear(windows, weight.flatten(1), bias).reshape(rows, time, -1)


class CausalConvTranspose1d(nn.Module):
    """A causal transposed convolution with a kernel of twice the stride.

    Each output depends on the current input and the previous one.
    """

    def __init__(self, channels: int, out_channels: int, kernel: int, stride: int, elu: bool = False) -> None:
        super().__init__()
        if kernel != 2 * stride:
            raise ValueError(f"a kernel of {kernel} does not fit the stride {stride}")
        self.convtr = nn.ConvTranspose1d(channels, out_channels, kernel, stride)
        self.stride, self.elu = stride, elu

    def forward(self, x: Tensor) -> Tensor:
        x = F.elu(x) if self.elu else x
        windows = torch.cat([F.pad(x[:, :-1], (0, 0, 1, 0)), x], -1)
        late, early = self.convtr.weight[:, :, self.stride :], self.convtr.weight[:, :, : self.stride]
        weight = torch.cat([late, early]).permute(2, 1, 0).flatten(0, 1)  # [stride * out, 2 * channels]
        assert self.convtr.bias is not None
        y = F.linear(windows, weight, self.convtr.bias.repeat(self.stride))
        return y.reshape(x.shape[0], x.shape[1] * self.stride, -1)


class DepthwiseUpsample(nn.Module):
    """A depthwise transposed convolution with a kernel of twice the stride."""

    def __init__(self, dim: int, kernel: int, stride: int) -> None:
        super().__init__()
        self.convtr = nn.ConvTranspose1d(dim, dim, kernel, stride, groups=dim, bias=False)
        self.stride = stride

    def forward(self, x: Tensor) -> Tensor:
        weight = self.convtr.weight[:, 0].t()  # [2 * stride, dim]
        before = F.pad(x[:, :-1], (0, 0, 1, 0))
        return (x[:, :, None] * weight[: self.stride] + before[:, :, None] * weight[self.stride :]).flatten(1, 2)


def _fold(time: int, channels: int) -> int:
    """How many adjacent positions to fold into one row: a power of two that divides `time`."""
    fold = 1
    while fold * channels < MIN_WIDTH and time % (2 * fold) == 0:
        fold *= 2
    return fold

"""Products with weights that never change, by the library that is fastest here, and the codec's activation.

A `Product` is made once from float32 weights. oneDNN keeps them in the order of its registers and adds bias, activation
and a residual on the way out; FBGEMM keeps them in int8. What is measured of them: docs/performance.md.
"""

import warnings
from collections.abc import Callable
from typing import Literal, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

from engine.precision import Precision

LOG2_E = 1.4426950408889634
ELU_ROWS = 4  # more at once, and what is between would be mapped anew at each call
ROWS = 16  # for which oneDNN lays out its weights; others are as fast


Activation = Literal["gelu", "silu"] | None


class Product(Protocol):
    def __call__(self, x: Tensor, residual: Tensor | None = None) -> Tensor: ...


def linear(weight: Tensor, bias: Tensor | None, activation: Activation, precision: Precision) -> Product:
    """`[..., in]` to `[..., out]`: x times weight `[out, in]`, plus bias, activated, plus the residual."""
    if precision is Precision.INT8:
        return _Int8Linear(weight, bias, activation)
    kind = _OneDnnLinear if _has_onednn(weight) else _PlainLinear
    return kind(weight.to(precision.dtype), None if bias is None else bias.to(precision.dtype), activation)


def convolution(weight: Tensor, bias: Tensor | None, dilation: int, precision: Precision) -> Product:
    """`[rows, time + (taps - 1) * dilation, in]` to `[rows, time, out]` by weight `[out, in, taps]`."""
    kind = _OneDnnConvolution if _has_onednn(weight) else _PlainConvolution
    return kind(weight.to(precision.dtype), None if bias is None else bias.to(precision.dtype), dilation)


def elu(x: Tensor, out: Tensor) -> None:
    """max(x, e^x - 1), in float32 whatever x is. torch's own takes twice as long on a CPU for its careful expm1."""
    if x.device.type != "cpu":
        torch.ops.aten.elu.out(x, out=out)
        return
    for part, into in zip(x.split(ELU_ROWS), out.split(ELU_ROWS), strict=True):
        wide = part.float()
        low = (wide * LOG2_E).clamp_max_(0.0).exp2_().sub_(1.0)
        into.copy_(torch.maximum(wide, low, out=low))


class _PlainLinear:
    def __init__(self, weight: Tensor, bias: Tensor | None, activation: Activation) -> None:
        self._weight, self._bias, self._activate = weight, bias, _ACTIVATIONS[activation]

    def __call__(self, x: Tensor, residual: Tensor | None = None) -> Tensor:
        y = self._activate(F.linear(x, self._weight, self._bias))
        return y if residual is None else y.add_(residual)


class _OneDnnLinear:
    def __init__(self, weight: Tensor, bias: Tensor | None, activation: Activation) -> None:
        self._weight = torch.ops.mkldnn._reorder_linear_weight(weight.contiguous(), ROWS)
        self._bias = bias
        self._after: tuple[str, list[float], str] = {
            None: ("none", [], ""),
            "gelu": ("gelu", [], "tanh"),
            "silu": ("swish", [], ""),
        }[activation]

    def __call__(self, x: Tensor, residual: Tensor | None = None) -> Tensor:
        y: Tensor
        if residual is None:
            y = torch.ops.mkldnn._linear_pointwise(x, self._weight, self._bias, *self._after)
        else:
            assert self._after[0] == "none", "oneDNN adds a residual only to a bare product"
            y = torch.ops.mkldnn._linear_pointwise.binary(x, residual, self._weight, self._bias, "add")
        return y


class _Int8Linear:
    """Weights with a scale for each output, activations with one for each row: a row never depends on its company."""

    def __init__(self, weight: Tensor, bias: Tensor | None, activation: Activation) -> None:
        scales = weight.abs().amax(dim=1).clamp_min(1e-12) / 127
        zeros = torch.zeros(len(scales), dtype=torch.long)
        with warnings.catch_warnings():  # torch means to move this way to int8 weights; FBGEMM knows no other yet
            warnings.simplefilter("ignore")
            quantized = torch.quantize_per_channel(weight, scales, zeros, 0, torch.qint8)
        self._weight = torch.ops.quantized.linear_prepack(quantized, None)
        self._bias, self._activate = bias, _ACTIVATIONS[activation]

    def __call__(self, x: Tensor, residual: Tensor | None = None) -> Tensor:
        rows = x.float().flatten(0, -2)
        scale = rows.abs().amax(dim=-1, keepdim=True).clamp_min_(1e-12) / 127
        y: Tensor = torch.ops.quantized.linear_with_input_q_dq_qweight_dq_output_fp32(
            rows / scale, 1.0, 128, self._weight
        )
        y = y.mul_(scale) if self._bias is None else torch.addcmul(self._bias, y, scale)
        y = self._activate(y).unflatten(0, x.shape[:-1]).to(x.dtype)
        return y if residual is None else y.add_(residual)


class _PlainConvolution:
    def __init__(self, weight: Tensor, bias: Tensor | None, dilation: int) -> None:
        self._weight, self._bias, self._dilation = weight, bias, dilation

    def __call__(self, x: Tensor, residual: Tensor | None = None) -> Tensor:
        y = F.conv1d(x.transpose(1, 2), self._weight, self._bias, dilation=self._dilation).transpose(1, 2).contiguous()
        return y if residual is None else y.add_(residual)


class _OneDnnConvolution:
    """A convolution over time is one over an image of height 1; channels last is the order of our rows."""

    def __init__(self, weight: Tensor, bias: Tensor | None, dilation: int) -> None:
        out_channels, channels, taps = weight.shape
        self._out_channels, self._reach, self._bias = out_channels, (taps - 1) * dilation, bias
        self._geometry = ([0, 0], [1, 1], [1, dilation], 1)  # padding, stride, dilation, groups
        shape = [8, channels, 1, ROWS + self._reach]
        self._weight = torch.ops.mkldnn._reorder_convolution_weight(
            weight[:, :, None].contiguous(), *self._geometry, shape
        )

    def __call__(self, x: Tensor, residual: Tensor | None = None) -> Tensor:
        rows, time, channels = x.shape
        image = x.view(rows, 1, time, channels).permute(0, 3, 1, 2)
        y: Tensor = torch.ops.mkldnn._convolution_pointwise(
            image, self._weight, self._bias, *self._geometry, "none", [], ""
        )  # [rows, out, 1, time]
        y = y.permute(0, 2, 3, 1).reshape(rows, time - self._reach, self._out_channels)
        return y if residual is None else y.add_(residual)


_ACTIVATIONS: dict[Activation, Callable[[Tensor], Tensor]] = {
    None: lambda x: x,
    "gelu": lambda x: F.gelu(x, approximate="tanh"),
    "silu": F.silu,
}


def _has_onednn(weight: Tensor) -> bool:
    return weight.device.type == "cpu" and bool(torch.backends.mkldnn.is_available())

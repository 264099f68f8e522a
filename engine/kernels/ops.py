"""Products with weights that never change, by the library that is fastest here, and the codec's activation.

A `Product` is made once from float32 weights. oneDNN keeps them in the order of its registers; in float32 and bfloat16
it adds bias, activation and a residual on the way out, in int8 our own loops do. What is measured of them:
docs/performance.md.
"""

from collections.abc import Callable
from typing import Literal, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

from sayline_tts.engine.kernels import int8_gemm, jit
from sayline_tts.engine.kernels.precision import Precision

LOG2_E = 1.4426950408889634
ELU_ROWS = 4  # more at once, and what is between would be mapped anew at each call
MIN_INT8_CHANNELS = 16  # inputs or outputs
ONEDNN_ROWS = 16  # for which oneDNN lays out its weights; others are as fast


Activation = Literal["gelu", "silu"] | None


class LinearOp(Protocol):
    def __call__(self, x: Tensor, residual: Tensor | None = None) -> Tensor: ...


class ConvolutionOp(Protocol):
    def __call__(self, x: Tensor, state: Tensor, residual: Tensor | None = None) -> Tensor:
        """Of `x` `[rows, time, in]` behind its tail `[rows, reach, in]`, which becomes the end of both."""


def linear(weight: Tensor, bias: Tensor | None, activation: Activation, precision: Precision) -> LinearOp:
    """`[..., in]` to `[..., out]`: x times weight `[out, in]`, plus bias, activated, plus the residual."""
    if precision is Precision.INT8 and worth_quantizing(weight):
        return Int8Linear(weight, bias, activation)
    op_class = _OneDnnLinear if _has_onednn(weight) else _TorchLinear
    return op_class(weight.to(precision.dtype), None if bias is None else bias.to(precision.dtype), activation)


def convolution(weight: Tensor, bias: Tensor | None, dilation: int, elu: bool, precision: Precision) -> ConvolutionOp:
    """`[rows, time, in]`, through ELU if so wanted, to `[rows, time, out]` by weight `[out, in, taps]`; it reaches
    `(taps - 1) * dilation` steps back."""
    if precision is Precision.INT8 and worth_quantizing(weight):
        return Int8Convolution(weight, bias, None, dilation, elu)
    return _StreamingConvolution(_valid_convolution(weight, bias, dilation, precision), elu)


def _valid_convolution(weight: Tensor, bias: Tensor | None, dilation: int, precision: Precision) -> LinearOp:
    """`[rows, reach + time, in]` to `[rows, time, out]`."""
    if weight.shape[2] == 1:
        return linear(weight[:, :, 0], bias, None, precision)
    if len(weight) == dilation == 1 and _has_float32_kernel(weight) and precision is not Precision.BFLOAT16:
        return _ConvolutionToMono(weight, bias)
    op_class = _OneDnnConvolution if _has_onednn(weight) else _TorchConvolution
    return op_class(weight.to(precision.dtype), None if bias is None else bias.to(precision.dtype), dilation)


def concat_state(state: Tensor, x: Tensor, elu: bool) -> Tensor:
    """`[rows, reach, channels]`, then `x` `[rows, time, channels]`, through ELU if so wanted, in one. The tail becomes
    the end of that."""
    rows, time, channels = x.shape
    reach = state.shape[1]
    y = x.new_empty(rows, reach + time, channels)
    if _has_float32_kernel(x):
        jit.concat_state(state.numpy(), x.contiguous().numpy(), elu, y.numpy())
        return y
    y[:, :reach] = state
    _elu(x, y[:, reach:]) if elu else y[:, reach:].copy_(x)
    state.copy_(y[:, time:])
    return y


def _elu(x: Tensor, out: Tensor) -> None:
    """max(x, e^x - 1), in float32 whatever x is. torch's own takes twice as long on a CPU for its careful expm1."""
    if x.device.type != "cpu":
        torch.ops.aten.elu.out(x, out=out)
        return
    for part, into in zip(x.split(ELU_ROWS), out.split(ELU_ROWS), strict=True):
        wide = part.float()
        low = (wide * LOG2_E).clamp_max_(0.0).exp2_().sub_(1.0)
        into.copy_(torch.maximum(wide, low, out=low))


def _has_float32_kernel(x: Tensor) -> bool:
    return x.device.type == "cpu" and x.dtype is torch.float32


class _TorchLinear:
    def __init__(self, weight: Tensor, bias: Tensor | None, activation: Activation) -> None:
        self._weight, self._bias, self._activation = weight, bias, _ACTIVATIONS[activation]

    def __call__(self, x: Tensor, residual: Tensor | None = None) -> Tensor:
        y = self._activation(F.linear(x, self._weight, self._bias))
        return y if residual is None else y.add_(residual)


class _OneDnnLinear:
    def __init__(self, weight: Tensor, bias: Tensor | None, activation: Activation) -> None:
        self._weight = torch.ops.mkldnn._reorder_linear_weight(weight.contiguous(), ONEDNN_ROWS)
        self._bias = bias
        self._post_op: tuple[str, list[float], str] = {
            None: ("none", [], ""),
            "gelu": ("gelu", [], "tanh"),
            "silu": ("swish", [], ""),
        }[activation]

    def __call__(self, x: Tensor, residual: Tensor | None = None) -> Tensor:
        y: Tensor
        if residual is None:
            y = torch.ops.mkldnn._linear_pointwise(x, self._weight, self._bias, *self._post_op)
        else:
            assert self._post_op[0] == "none", "oneDNN adds a residual only to a bare product"
            y = torch.ops.mkldnn._linear_pointwise.binary(x, residual, self._weight, self._bias, "add")
        return y


class Int8Linear:
    """One tap, behind nothing."""

    def __init__(self, weight: Tensor, bias: Tensor | None, activation: Activation) -> None:
        self._op = Int8Convolution(weight[:, :, None], bias, activation)
        self.weights = self._op.weights
        self._no_state = weight.new_empty(1, 0, weight.shape[1])

    def __call__(self, x: Tensor, residual: Tensor | None = None) -> Tensor:
        y = self._op(x.reshape(1, -1, x.shape[-1]), self._no_state, residual)
        return y.view(*x.shape[:-1], -1)


class Int8Convolution:
    """Weights in int8 with a scale for each output."""

    def __init__(
        self, weight: Tensor, bias: Tensor | None, activation: Activation, dilation: int = 1, elu: bool = False
    ) -> None:
        self.outputs, self.channels, self.taps = weight.shape
        self.dilation, self.elu = dilation, elu
        rows = weight.transpose(1, 2).flatten(1).contiguous()  # [out, taps * in]
        self.weights = int8_gemm.pack(rows.numpy(), None if bias is None else bias.numpy())
        self._parameters = elu, self.taps, dilation, *self.weights, int8_gemm.ACTIVATIONS[activation]

    def __call__(self, x: Tensor, state: Tensor, residual: Tensor | None = None) -> Tensor:
        rows, time, _ = x.shape
        y = torch.empty(rows, time, self.outputs)
        y_rows = y.numpy().reshape(-1, self.outputs)
        residual_rows = y_rows[:0] if residual is None else residual.contiguous().numpy().reshape(y_rows.shape)
        int8_gemm.convolve(state.numpy(), x.contiguous().numpy(), *self._parameters, residual_rows, y_rows)
        return y


class _StreamingConvolution:
    """A product over what was laid behind its tail first."""

    def __init__(self, product: LinearOp, elu: bool) -> None:
        self._op, self._elu = product, elu

    def __call__(self, x: Tensor, state: Tensor, residual: Tensor | None = None) -> Tensor:
        return self._op(concat_state(state, x, self._elu), residual)


class _TorchConvolution:
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
        shape = [8, channels, 1, ONEDNN_ROWS + self._reach]
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


class _ConvolutionToMono:
    """A convolution to a single channel: sound. oneDNN takes four times as long for it."""

    def __init__(self, weight: Tensor, bias: Tensor | None) -> None:
        self._taps = weight.shape[2]
        self._weights = weight[0].T.flatten().numpy()
        self._bias = 0.0 if bias is None else float(bias)

    def __call__(self, x: Tensor, residual: Tensor | None = None) -> Tensor:
        y = torch.empty(len(x), x.shape[1] - self._taps + 1, 1)
        jit.conv_to_mono(x.contiguous().numpy(), self._weights, self._bias, y[:, :, 0].numpy())
        return y if residual is None else y.add_(residual)


_ACTIVATIONS: dict[Activation, Callable[[Tensor], Tensor]] = {
    None: lambda x: x,
    "gelu": lambda x: F.gelu(x, approximate="tanh"),
    "silu": F.silu,
}


def worth_quantizing(weight: Tensor) -> bool:
    """Is it worth less exact numbers? Where sound goes in and comes out there is little to compute."""
    return min(weight.shape[:2]) >= MIN_INT8_CHANNELS


def _has_onednn(weight: Tensor) -> bool:
    return weight.device.type == "cpu" and bool(torch.backends.mkldnn.is_available())

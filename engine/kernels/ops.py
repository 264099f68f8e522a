"""Linear layers and convolutions with fixed weights, each by the fastest implementation for device and precision.

An op is made once from float32 weights, which it packs. On a CPU oneDNN computes float32 and, where the processor can,
bfloat16, with bias, activation and residual fused; int8 has kernels of our own. Elsewhere plain torch is used.
"""

from collections.abc import Callable
from typing import Literal, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

from sayline_tts.engine.kernels import conv_kernels, int8_gemm, torch_internals
from sayline_tts.engine.kernels.int8_gemm import Int8Conv
from sayline_tts.engine.kernels.precision import Precision
from sayline_tts.engine.kernels.torch_internals import has_onednn

MIN_INT8_CHANNELS = 16  # inputs or outputs
# Epsilons of norms, as in the published models.
LAYER_NORM_EPS, ADALN_EPS, VARIANCE_NORM_EPS = 1e-5, 1e-6, 1e-5

Activation = Literal["gelu", "silu"] | None


class LinearOp(Protocol):
    def __call__(self, x: Tensor, residual: Tensor | None = None) -> Tensor: ...


class ConvolutionOp(Protocol):
    def __call__(self, x: Tensor, state: Tensor, residual: Tensor | None = None) -> Tensor:
        """Convolve `x` `[rows, time, in]` behind its state `[rows, reach, in]`, which becomes the end of both."""


def linear(weight: Tensor, bias: Tensor | None, activation: Activation, precision: Precision) -> LinearOp:
    """Linear layer `[..., in]` to `[..., out]` by weight `[out, in]`, plus bias, activated, plus the residual."""
    if precision is Precision.INT8 and worth_quantizing(weight):
        return Int8Linear(weight, bias, activation)
    weight, bias = _convert(weight, bias, precision)
    return (_OneDnnLinear if has_onednn(weight) else _TorchLinear)(weight, bias, activation)


def convolution(weight: Tensor, bias: Tensor | None, dilation: int, elu: bool, precision: Precision) -> ConvolutionOp:
    """Causal convolution `[rows, time, in]` to `[rows, time, out]` by weight `[out, in, taps]`.

    `elu`: the input goes through ELU first. The state has `(taps - 1) * dilation` time steps.
    """
    if precision is Precision.INT8 and worth_quantizing(weight):
        return Int8Convolution(weight, bias, None, dilation, elu)
    return _StreamingConvolution(_valid_convolution(weight, bias, dilation, precision), elu)


def _valid_convolution(weight: Tensor, bias: Tensor | None, dilation: int, precision: Precision) -> LinearOp:
    """Convolution without padding, `[rows, reach + time, in]` to `[rows, time, out]`."""
    if weight.shape[2] == 1:
        return linear(weight[:, :, 0], bias, None, precision)
    if len(weight) == dilation == 1 and weight.device.type == "cpu" and precision is not Precision.BFLOAT16:
        return _ConvolutionToMono(weight, bias)
    weight, bias = _convert(weight, bias, precision)
    return (_OneDnnConvolution if has_onednn(weight) else _TorchConvolution)(weight, bias, dilation)


def concat_state(state: Tensor, x: Tensor, elu: bool) -> Tensor:
    """Concatenate state `[rows, reach, channels]` and `x` `[rows, time, channels]`, through ELU if `elu`.

    The state becomes the end of that.
    """
    if x.device.type == "cpu":
        y = torch.empty(x.shape[0], state.shape[1] + x.shape[1], x.shape[2])
        wide_state = state.float()  # the same memory, unless it is bfloat16
        conv_kernels.concat_state(wide_state.numpy(), x.float().contiguous().numpy(), elu, y.numpy())
        if wide_state is not state:
            y = y.to(x.dtype)
            state.copy_(y[:, x.shape[1] :])
        return y
    reach = state.shape[1]
    y = x.new_empty(x.shape[0], reach + x.shape[1], x.shape[2])
    y[:, :reach] = state
    if elu:
        torch.ops.aten.elu.out(x, out=y[:, reach:])
    else:
        y[:, reach:].copy_(x)
    state.copy_(y[:, x.shape[1] :])
    return y


def worth_quantizing(weight: Tensor) -> bool:
    """Whether int8 saves time: layers with few channels, where audio enters and leaves, have little to compute."""
    return min(weight.shape[:2]) >= MIN_INT8_CHANNELS


def _convert(weight: Tensor, bias: Tensor | None, precision: Precision) -> tuple[Tensor, Tensor | None]:
    return weight.to(precision.dtype), None if bias is None else bias.to(precision.dtype)


class _TorchLinear:
    def __init__(self, weight: Tensor, bias: Tensor | None, activation: Activation) -> None:
        self._weight, self._bias, self._activation = weight, bias, _ACTIVATIONS[activation]

    def __call__(self, x: Tensor, residual: Tensor | None = None) -> Tensor:
        y = self._activation(F.linear(x, self._weight, self._bias))
        return y if residual is None else y.add_(residual)


class _OneDnnLinear:
    def __init__(self, weight: Tensor, bias: Tensor | None, activation: Activation) -> None:
        self._weight, self._bias, self._activation = torch_internals.pack_linear(weight), bias, activation

    def __call__(self, x: Tensor, residual: Tensor | None = None) -> Tensor:
        if residual is None:
            return torch_internals.linear(x, self._weight, self._bias, self._activation)
        assert self._activation is None, "oneDNN fuses a residual only without an activation"
        return torch_internals.linear_add(x, residual, self._weight, self._bias)


class Int8Linear:
    """A convolution of one tap, without state."""

    def __init__(self, weight: Tensor, bias: Tensor | None, activation: Activation) -> None:
        self._op = Int8Convolution(weight[:, :, None], bias, activation)
        self.weights = int8_gemm.PackedWeights(self._op.conv.panels, self._op.conv.epilogue)
        self._no_state = weight.new_empty(1, 0, weight.shape[1])

    def __call__(self, x: Tensor, residual: Tensor | None = None) -> Tensor:
        y = self._op(x.reshape(1, -1, x.shape[-1]), self._no_state, residual)
        return y.view(*x.shape[:-1], -1)


class Int8Convolution:
    """Convolution with int8 weights, one scale per output."""

    def __init__(
        self, weight: Tensor, bias: Tensor | None, activation: Activation, dilation: int = 1, elu: bool = False
    ) -> None:
        self.outputs, self.channels, taps = weight.shape
        rows = weight.transpose(1, 2).flatten(1).contiguous()  # [out, taps * in]
        packed = int8_gemm.pack(rows.numpy(), None if bias is None else bias.numpy())
        self.conv = Int8Conv(*packed, taps, dilation, int(elu), int8_gemm.ACTIVATIONS[activation])

    def __call__(self, x: Tensor, state: Tensor, residual: Tensor | None = None) -> Tensor:
        rows, time, _ = x.shape
        y = torch.empty(rows, time, self.outputs)
        y_rows = y.numpy().reshape(-1, self.outputs)
        added = y_rows[:0] if residual is None else residual.contiguous().numpy().reshape(y_rows.shape)
        int8_gemm.int8_conv(self.conv, state.numpy(), x.contiguous().numpy(), added, y_rows)
        return y


class _StreamingConvolution:
    """A convolution over the concatenation of state and input."""

    def __init__(self, op: LinearOp, elu: bool) -> None:
        self._op, self._elu = op, elu

    def __call__(self, x: Tensor, state: Tensor, residual: Tensor | None = None) -> Tensor:
        return self._op(concat_state(state, x, self._elu), residual)


class _TorchConvolution:
    def __init__(self, weight: Tensor, bias: Tensor | None, dilation: int) -> None:
        self._weight, self._bias, self._dilation = weight, bias, dilation

    def __call__(self, x: Tensor, residual: Tensor | None = None) -> Tensor:
        y = F.conv1d(x.transpose(1, 2), self._weight, self._bias, dilation=self._dilation).transpose(1, 2).contiguous()
        return y if residual is None else y.add_(residual)


class _OneDnnConvolution:
    """Convolution over an image of height 1: oneDNN's channels-last layout is that of our rows."""

    def __init__(self, weight: Tensor, bias: Tensor | None, dilation: int) -> None:
        out_channels, channels, taps = weight.shape
        self._out_channels, self._reach, self._bias = out_channels, (taps - 1) * dilation, bias
        self._geometry = ([0, 0], [1, 1], [1, dilation], 1)
        typical_shape = [8, channels, 1, torch_internals.ROWS + self._reach]
        self._weight = torch_internals.pack_conv2d(weight[:, :, None], self._geometry, typical_shape)

    def __call__(self, x: Tensor, residual: Tensor | None = None) -> Tensor:
        rows, time, channels = x.shape
        image = x.view(rows, 1, time, channels).permute(0, 3, 1, 2)
        y = torch_internals.conv2d(image, self._weight, self._bias, self._geometry)  # [rows, out, 1, time]
        y = y.permute(0, 2, 3, 1).reshape(rows, time - self._reach, self._out_channels)
        return y if residual is None else y.add_(residual)


class _ConvolutionToMono:
    """A convolution to one channel, audio: oneDNN takes four times as long for it."""

    def __init__(self, weight: Tensor, bias: Tensor | None) -> None:
        self._taps = weight.shape[2]
        self._weights = weight[0].T.flatten().numpy()
        self._bias = 0.0 if bias is None else float(bias)

    def __call__(self, x: Tensor, residual: Tensor | None = None) -> Tensor:
        y = torch.empty(len(x), x.shape[1] - self._taps + 1, 1)
        conv_kernels.conv_to_mono(x.contiguous().numpy(), self._weights, self._bias, y[:, :, 0].numpy())
        return y if residual is None else y.add_(residual)


_ACTIVATIONS: dict[Activation, Callable[[Tensor], Tensor]] = {
    None: lambda x: x,
    "gelu": lambda x: F.gelu(x, approximate="tanh"),
    "silu": F.silu,
}

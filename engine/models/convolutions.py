"""Causal convolutions that stream: `[rows, time, channels]`, with their last inputs as state."""

from collections.abc import Sequence
from typing import Protocol

from torch import Tensor, nn

from sayline_tts.engine.kernels import ops
from sayline_tts.engine.kernels.fused_layers import ConvChainKernel
from sayline_tts.engine.kernels.ops import ConvolutionOp, Int8Convolution
from sayline_tts.engine.kernels.precision import Precision
from sayline_tts.engine.models.layers import Packable, data_of


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
        self.op = ops.convolution(weight, data_of(self.conv.bias), self.dilation, self.elu, precision)
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
        bias = data_of(self.convtr.bias)
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
        int8_ops = [(each.op, adds_input) for each, adds_input in convolutions if isinstance(each.op, Int8Convolution)]
        assert len(int8_ops) == len(convolutions), "not all convolutions are in int8"
        self._kernel = ConvChainKernel(int8_ops)

    def __call__(self, x: Tensor, states: ConvState) -> Tensor:
        y = self._kernel(x, [convolution.state(x, states) for convolution in self._convolutions])
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

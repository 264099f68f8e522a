"""Float32 kernels of streaming convolutions: input with its state, and a convolution to one channel."""

from typing import Any

from numba import boolean, float32, void

from sayline_tts.engine.kernels.elementwise import elu, elu_vectors
from sayline_tts.engine.kernels.ir_builder import LANES
from sayline_tts.engine.kernels.jit import ZERO, address, compiled

_vector, _matrix, _tensor, _strided_tensor = float32[::1], float32[:, ::1], float32[:, :, ::1], float32[:, :, :]


@compiled(inline="always")
def copy_elu(x: Any, apply_elu: Any, out: Any) -> None:
    """Copy `x` `[time, channels]` to `out`, through ELU if `apply_elu`."""
    source, target = x.ravel(), out.ravel()
    if apply_elu:
        count = source.size // LANES
        if count:
            elu_vectors(address(source), count, address(target))
        for i in range(count * LANES, source.size):
            target[i] = elu(source[i])
    else:
        for i in range(source.size):
            target[i] = source[i]


@compiled(void(_strided_tensor, _tensor, boolean, _tensor))
def concat_state(state: Any, x: Any, apply_elu: Any, out: Any) -> None:
    """`out` `[rows, reach + time, channels]` = `state` `[rows, reach, channels]`, then `x`, through ELU if `apply_elu`.

    The state becomes the end of that.
    """
    reach, time = state.shape[1], x.shape[1]
    for row in range(len(x)):
        out[row, :reach] = state[row]
        copy_elu(x[row], apply_elu, out[row, reach:])
        state[row] = out[row, time:]


@compiled(void(_tensor, _vector, float32, _matrix))
def conv_to_mono(x: Any, weights: Any, bias: Any, y: Any) -> None:
    """A convolution to one channel: `x` `[rows, time, channels]` to `y` `[rows, outputs]`; weights tap by tap."""
    for row in range(x.shape[0]):
        flat = x[row].ravel()
        for output in range(y.shape[1]):
            window, total = flat[output * x.shape[2] :], ZERO
            for i in range(weights.size):
                total += window[i] * weights[i]
            y[row, output] = total + bias

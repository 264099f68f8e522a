"""Linear layers and convolutions against float64, and the state of convolutions."""

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from sayline_tts.engine.kernels import ops
from sayline_tts.engine.kernels.jit import ACTIVE_ISA
from sayline_tts.engine.kernels.ops import Activation
from sayline_tts.engine.kernels.precision import Precision

# Root mean square of the error against that of the result. A bias, a tap or a row in the wrong place is far beyond it.
TOLERANCES = {
    Precision.FLOAT32: 2e-6,
    Precision.BFLOAT16: 6e-3,
    Precision.INT8: 1.5e-2 if ACTIVE_ISA.max_weight == 127 else 2e-2,
}
ACTIVATIONS: dict[Activation, Callable[[Tensor], Tensor]] = {
    None: lambda x: x,
    "gelu": lambda x: F.gelu(x, approximate="tanh"),
    "silu": F.silu,
}
LIBRARIES = [True, False]  # oneDNN, or plain torch


def some(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def assert_near(found: Tensor, expected: Tensor, precision: Precision) -> None:
    assert found.shape == expected.shape
    error = (found.double() - expected).square().mean().sqrt() / expected.square().mean().sqrt()
    assert error < TOLERANCES[precision]


@pytest.fixture(params=LIBRARIES, ids=["onednn", "plain"])
def library(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if request.param and not torch.backends.mkldnn.is_available():
        pytest.skip("this build of torch has no oneDNN")
    if not request.param:
        monkeypatch.setattr(ops, "has_onednn", lambda weight: False)


@pytest.mark.usefixtures("library")
@pytest.mark.parametrize("precision", Precision)
@pytest.mark.parametrize("rows", [(1,), (37,), (3, 16)], ids=str)
@pytest.mark.parametrize(
    ("biased", "activation", "has_residual"),
    [(False, None, False), (True, None, False), (True, "silu", False), (False, "gelu", False), (False, None, True),
     (True, None, True)],
)  # fmt: skip
def test_linear_layer_equals_float64(
    precision: Precision, rows: tuple[int, ...], biased: bool, activation: Activation, has_residual: bool
) -> None:
    weight, bias = some(48, 72) / 72**0.5, some(48, seed=1) if biased else None
    residual = some(*rows, 48, seed=2) if has_residual else None
    x = some(*rows, 72, seed=3).to(precision.dtype)
    op = ops.linear(weight, bias, activation, precision)
    given = None if residual is None else residual.to(precision.dtype)
    found = op(x, given)
    expected = ACTIVATIONS[activation](F.linear(x.double(), weight.double(), None if bias is None else bias.double()))
    assert_near(found, expected if residual is None else expected + residual, precision)
    assert found.dtype == x.dtype
    if residual is not None and given is not None:
        torch.testing.assert_close(given, residual.to(precision.dtype), atol=0, rtol=0)


@pytest.mark.usefixtures("library")
@pytest.mark.parametrize("precision", Precision)
@pytest.mark.parametrize(
    ("taps", "dilation", "outputs"), [(1, 1, 40), (2, 1, 40), (3, 1, 1), (3, 2, 24), (7, 1, 40), (3, 4, 16)]
)
@pytest.mark.parametrize(("rows", "time"), [(1, 1), (2, 16), (9, 5)])
@pytest.mark.parametrize(("elu", "has_residual"), [(False, False), (True, False), (True, True)])
def test_convolution_equals_float64(
    precision: Precision, taps: int, dilation: int, outputs: int, rows: int, time: int, elu: bool, has_residual: bool
) -> None:
    weight, bias = some(outputs, 20, taps) / (20 * taps) ** 0.5, some(outputs, seed=1)
    x = some(rows, time, 20, seed=2).to(precision.dtype)
    tail = some(rows, (taps - 1) * dilation, 20, seed=4).to(precision.dtype)
    residual = some(rows, time, outputs, seed=3).to(precision.dtype) if has_residual else None
    export_prefix = torch.cat([tail, F.elu(x) if elu else x], dim=1)
    found = ops.convolution(weight, bias, dilation, elu, precision)(x, tail, residual)
    expected = F.conv1d(export_prefix.double().mT, weight.double(), bias.double(), dilation=dilation).mT
    assert_near(found, expected if residual is None else expected + residual, precision)
    assert found.is_contiguous()
    torch.testing.assert_close(tail, export_prefix[:, time:])


def test_int8_row_does_not_depend_on_its_batch() -> None:
    """To the last bit, though its neighbours are a million times as loud; a multiple of 32 wide, as all models are."""
    op = ops.linear(some(64, 72), some(64, seed=1), "gelu", Precision.INT8)
    x = some(9, 72, seed=2) * torch.logspace(-3, 3, 9)[:, None]
    together = op(x)
    for row in range(len(x)):
        torch.testing.assert_close(op(x[row : row + 1]), together[row : row + 1], atol=0, rtol=0)


def test_int8_of_zeros_is_the_bias() -> None:
    bias = some(48)
    op = ops.linear(some(48, 72, seed=1), bias, None, Precision.INT8)
    torch.testing.assert_close(op(torch.zeros(2, 72)), bias.expand(2, -1), atol=0, rtol=0)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("state", [0, 2])
@pytest.mark.parametrize("rows", [1, 4, 13])
def test_concat_state_applies_elu_and_updates_the_state(dtype: torch.dtype, state: int, rows: int) -> None:
    x = (some(rows, 33, 8) * torch.logspace(-4, 2, 33)[:, None]).to(dtype)
    x[0, 0] = torch.tensor([0.0, -1e4, 1e4, -100.0, 100.0, -1e-30, 1e-30, -0.5])
    before, kept = torch.full((rows, state, 8), 7.0, dtype=dtype), x.clone()
    end = before.clone()
    y = ops.concat_state(end, x, True)
    torch.testing.assert_close(y[:, state:], F.elu(x), atol=2e-7, rtol=1e-6 if dtype == torch.float32 else 8e-3)
    torch.testing.assert_close(x, kept, atol=0, rtol=0)
    torch.testing.assert_close(end, y[:, 33:], atol=0, rtol=0)
    assert y[:, :state].eq(7.0).all()
    torch.testing.assert_close(ops.concat_state(before, x, False)[:, state:], kept, atol=0, rtol=0)

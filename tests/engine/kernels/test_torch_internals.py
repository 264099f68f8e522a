"""oneDNN's operators are still there and compute what plain torch does."""

import pytest
import torch
import torch.nn.functional as F

from sayline_tts.engine.kernels import torch_internals

needs_onednn = pytest.mark.skipif(
    not torch_internals.has_onednn(torch.empty(1)), reason="torch was built without oneDNN"
)


@needs_onednn
@pytest.mark.parametrize("activation", [None, "gelu", "silu"])
def test_packed_linear_layer(activation: str | None) -> None:
    x, weight, bias = torch.randn(3, 20), torch.randn(24, 20), torch.randn(24)
    y = F.linear(x, weight, bias)
    expected = {None: y, "gelu": F.gelu(y, approximate="tanh"), "silu": F.silu(y)}[activation]
    packed = torch_internals.pack_linear(weight)
    torch.testing.assert_close(torch_internals.linear(x, packed, bias, activation), expected, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(torch_internals.linear_add(x, y, packed, bias), 2 * y, atol=1e-4, rtol=1e-4)


@needs_onednn
def test_packed_convolution() -> None:
    image, weight, bias = torch.randn(2, 20, 1, 18), torch.randn(24, 20, 1, 3), torch.randn(24)
    geometry: torch_internals.Geometry = ([0, 0], [1, 1], [1, 2], 1)
    packed = torch_internals.pack_conv2d(weight, geometry, [2, 20, 1, 18])
    expected = F.conv2d(image, weight, bias, dilation=(1, 2))
    torch.testing.assert_close(torch_internals.conv2d(image, packed, bias, geometry), expected, atol=1e-4, rtol=1e-4)


def test_capabilities_have_torch_names() -> None:
    capabilities = torch_internals.cpu_capabilities()
    assert all(isinstance(capabilities.get(name, False), bool) for name in ("avx2", "avx512_vnni", "avx_vnni"))

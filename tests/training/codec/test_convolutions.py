"""Folded convolutions equal torch's."""

import pytest
import torch
import torch.nn.functional as F

from training.codec.convolutions import CausalConv1d, CausalConvTranspose1d


@pytest.mark.parametrize(("channels", "kernel", "time"), [(24, 3, 32), (1, 7, 64), (1, 7, 6), (128, 7, 16), (48, 3, 7)])
def test_folded_convolution_equals_conv1d(channels: int, kernel: int, time: int) -> None:
    layer, x = CausalConv1d(channels, 5, kernel), torch.randn(2, time, channels)
    plain = layer.conv(F.pad(x.mT, (kernel - 1, 0))).mT
    torch.testing.assert_close(layer(x), plain, atol=1e-5, rtol=1e-4)


def test_strided_convolution_equals_conv1d() -> None:
    layer, x = CausalConv1d(3, 5, 8, stride=4, elu=True), torch.randn(2, 24, 3)
    plain = layer.conv(F.pad(F.elu(x).mT, (4, 0))).mT
    torch.testing.assert_close(layer(x), plain, atol=1e-5, rtol=1e-4)


def test_transposed_convolution_equals_conv_transpose1d() -> None:
    layer, x = CausalConvTranspose1d(3, 5, 8, stride=4), torch.randn(2, 6, 3)
    torch.testing.assert_close(layer(x), layer.convtr(x.mT)[..., :24].mT, atol=1e-5, rtol=1e-4)


def test_unsupported_kernel_is_rejected() -> None:
    with pytest.raises(ValueError, match="stride"):
        CausalConv1d(1, 1, 7, stride=4)

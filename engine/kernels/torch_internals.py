"""All uses of torch operators that its documentation does not cover: oneDNN with packed weights.

Written for torch 2.13. This module's tests show what an upgrade has moved.
"""

import torch
from torch import Tensor

ROWS = 16  # for which oneDNN lays out linear weights; other row counts are as fast
Geometry = tuple[list[int], list[int], list[int], int]  # padding, stride, dilation, groups


def has_onednn(weight: Tensor) -> bool:
    """Whether oneDNN has kernels for this weight's device and dtype on this processor."""
    if weight.device.type != "cpu" or not torch.backends.mkldnn.is_available():
        return False
    return weight.dtype is not torch.bfloat16 or bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())


def pack_linear(weight: Tensor) -> Tensor:
    packed: Tensor = torch.ops.mkldnn._reorder_linear_weight(weight.contiguous(), ROWS)
    return packed


def linear(x: Tensor, packed: Tensor, bias: Tensor | None, activation: str | None) -> Tensor:
    post_op: tuple[str, list[float], str] = {
        None: ("none", [], ""),
        "gelu": ("gelu", [], "tanh"),
        "silu": ("swish", [], ""),
    }[activation]
    y: Tensor = torch.ops.mkldnn._linear_pointwise(x, packed, bias, *post_op)
    return y


def linear_add(x: Tensor, residual: Tensor, packed: Tensor, bias: Tensor | None) -> Tensor:
    y: Tensor = torch.ops.mkldnn._linear_pointwise.binary(x, residual, packed, bias, "add")
    return y


def pack_conv2d(weight: Tensor, geometry: Geometry, input_shape: list[int]) -> Tensor:
    packed: Tensor = torch.ops.mkldnn._reorder_convolution_weight(weight.contiguous(), *geometry, input_shape)
    return packed


def conv2d(image: Tensor, packed: Tensor, bias: Tensor | None, geometry: Geometry) -> Tensor:
    y: Tensor = torch.ops.mkldnn._convolution_pointwise(image, packed, bias, *geometry, "none", [], "")
    return y


def cpu_capabilities() -> dict[str, bool]:
    """Instruction sets by torch's names; empty in versions of torch that do not report them."""
    found: dict[str, bool] = getattr(torch.cpu, "get_capabilities", dict)()
    return found

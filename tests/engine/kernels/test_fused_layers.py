"""Fused kernels against NumPy, and against their parts called one after the other."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import TypeVar

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from sayline_tts.engine.cache.kv_cache import CacheShape, KVCache
from sayline_tts.engine.checkpoint.config import SEANetConfig
from sayline_tts.engine.kernels import reference
from sayline_tts.engine.kernels.attention import AttentionMetadata
from sayline_tts.engine.kernels.attention_capture import AttentionCapture
from sayline_tts.engine.kernels.fused_layers import (
    AdaLNBlockKernel,
    AdaLNWeights,
    ConvChainKernel,
    Norm,
    TransformerBlockKernel,
    TransformerWeights,
)
from sayline_tts.engine.kernels.int8_gemm import pack as pack_weights
from sayline_tts.engine.kernels.jit import ACTIVE_ISA
from sayline_tts.engine.kernels.ops import Int8Convolution
from sayline_tts.engine.kernels.precision import Precision
from sayline_tts.engine.models.convolutions import StreamingConv
from sayline_tts.engine.models.flow_head import AdaLNBlock
from sayline_tts.engine.models.layers import TransformerBlock, pack
from sayline_tts.engine.models.seanet import SEANet
from tests.engine.kernels import arrays

Network = TypeVar("Network", bound=nn.Module)

CPU, LENGTHS, PERIOD = torch.device("cpu"), torch.tensor([1, 5, 1, 20]), 10000.0
TOLERANCE = 5e-3  # of the rms: a level of the next product may differ where a norm was rounded differently


def some(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def packed(network: Network) -> Network:
    """In int8, with random weights."""
    for seed, weights in enumerate(network.parameters()):
        weights.data = some(*weights.shape, seed=seed) / weights.shape[-1] ** 0.5
    pack(network.requires_grad_(False), Precision.INT8)
    return network


def assert_near(found: Tensor, expected: Tensor) -> None:
    assert found.shape == expected.shape
    assert (found - expected).square().mean().sqrt() < TOLERANCE * expected.square().mean().sqrt()


def norm(width: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    return 1 + arrays.some(width, seed=seed) / 4, arrays.some(width, seed=seed + 1)


def weights_of(outputs: int, inputs: int, seed: int) -> np.ndarray:
    return arrays.some(outputs, inputs, seed=seed) / np.float32(inputs**0.5)


@pytest.mark.parametrize(("length", "heads", "kv_heads"), [(1, 4, 4), (7, 6, 2), (21, 2, 1)])
def test_transformer_block_equals_numpy(length: int, heads: int, kv_heads: int) -> None:
    width, dim, wide = 48, 16, 70
    block = reference.Block(
        norm(width, 1), norm(width, 3), weights_of((heads + 2 * kv_heads) * dim, width, 5),
        weights_of(width, heads * dim, 6), weights_of(wide, width, 7), weights_of(width, wide, 8), heads, kv_heads,
        PERIOD,
    )  # fmt: skip
    in_proj, out_proj, up, down = (
        pack_weights(each, None) for each in (block.in_proj, block.out_proj, block.up, block.down)
    )
    norms = Norm(*block.norm_1), Norm(*block.norm_2)
    weights = TransformerWeights(norms[0], norms[1], in_proj, out_proj, up, down, heads, kv_heads)
    kernel = TransformerBlockKernel(weights)
    cache = KVCache(CacheShape(1, kv_heads, dim, PERIOD, torch.bfloat16, CPU), 1)
    x = arrays.some(length, width)
    found = kernel(torch.from_numpy(x), cache.attention_metadata(torch.tensor([0]), length), 0)
    expected = reference.transformer_block(x, block, ACTIVE_ISA.max_weight)
    assert_near(found, torch.from_numpy(expected).float())


@pytest.mark.parametrize("rows", [1, 7])
def test_adaln_block_equals_numpy(rows: int) -> None:
    width, (gain, bias) = 50, norm(50, 1)
    w_1, w_2, b_1, b_2 = weights_of(50, 50, 3), weights_of(50, 50, 4), arrays.some(50, seed=5), arrays.some(50, seed=6)
    kernel = AdaLNBlockKernel(AdaLNWeights(Norm(gain, bias), pack_weights(w_1, b_1), pack_weights(w_2, b_2)))
    x, modulation = arrays.some(rows, width, seed=7), arrays.some(rows, 3 * width, seed=8)
    expected = reference.adaln_block(x, modulation, (gain, bias), (w_1, b_1, w_2, b_2), ACTIVE_ISA.max_weight)
    assert_near(kernel(torch.from_numpy(x), torch.from_numpy(modulation)), torch.from_numpy(expected).float())


@pytest.mark.parametrize("time", [1, 9])
def test_conv_chain_equals_numpy(time: int) -> None:
    shapes = [(24, 24, 3, 2, False, False), (16, 24, 2, 1, True, False), (24, 16, 1, 1, True, True)]
    convolutions = [
        reference.Conv(weights_of(out, taps * channels, seed), arrays.some(out, seed=seed), taps, dilation, elu, adds)
        for seed, (out, channels, taps, dilation, elu, adds) in enumerate(shapes)
    ]
    ops = []
    for conv, (out, channels, taps, dilation, elu, adds) in zip(convolutions, shapes, strict=True):
        weight = torch.from_numpy(conv.weights).view(out, taps, channels).transpose(1, 2)
        ops.append((Int8Convolution(weight, torch.from_numpy(conv.bias), None, dilation, elu), adds))
    x = arrays.some(3, time, 24, seed=9)
    states = [arrays.some(3, (taps - 1) * dilation, channels, seed=9) for _, channels, taps, dilation, *_ in shapes]
    expected = reference.conv_chain(x, convolutions, [each.copy() for each in states], ACTIVE_ISA.max_weight)
    found = ConvChainKernel(ops)(torch.from_numpy(x), [torch.from_numpy(each) for each in states])
    assert_near(found, torch.from_numpy(expected).float().flatten(1))


class ZeroStates:
    """States of a decoder whose stream begins."""

    def __init__(self) -> None:
        self._states: dict[StreamingConv, Tensor] = {}

    def get(self, layer: StreamingConv, x: Tensor) -> Tensor:
        return self._states.setdefault(layer, torch.zeros(len(x), layer.state_length, layer.state_channels))


@contextmanager
def unfused(block: TransformerBlock | AdaLNBlock) -> Iterator[None]:
    """Its parts, each by a call of its own."""
    fused, block._fused = block._fused, None
    assert fused is not None, "it was not fused"
    yield
    block._fused = fused


def passes(kv_heads: int, dim: int) -> Callable[[], AttentionMetadata]:
    """The same pass over new rows, whenever it is called."""

    def pass_() -> AttentionMetadata:
        cache = KVCache(CacheShape(2, kv_heads, dim, PERIOD, torch.bfloat16, CPU), len(LENGTHS))
        return cache.attention_metadata(torch.arange(len(LENGTHS)), LENGTHS)

    return pass_


@pytest.mark.parametrize(
    ("width", "heads", "kv_heads", "wide", "scaled"),
    [(64, 4, 4, 128, False), (48, 6, 2, 64, True), (32, 2, 1, 70, False)],
)
def test_transformer_block_equals_its_parts(width: int, heads: int, kv_heads: int, wide: int, scaled: bool) -> None:
    block = packed(TransformerBlock(width, heads * 16, heads, kv_heads, wide, scaled))
    new_pass, x = passes(kv_heads, 16), some(int(LENGTHS.sum()), width)
    first, second = new_pass(), new_pass()
    found = [block(x, first, layer) for layer in (0, 1)]
    with unfused(block):
        expected = [block(x, second, layer) for layer in (0, 1)]
    for layer in (0, 1):
        assert_near(found[layer], expected[layer])
    with pytest.raises(AssertionError):
        assert_near(found[0], x)


def test_rows_of_one_length_keep_their_shape_and_do_not_depend_on_their_batch() -> None:
    block = packed(TransformerBlock(32, 32, 2, 2, 64, scaled=False))
    cache = KVCache(CacheShape(1, 2, 16, PERIOD, torch.bfloat16, CPU), 3, context=20, pass_length=4)
    x = some(3, 4, 32)
    together = block(x, cache.attention_metadata(torch.arange(3), 4), 0)
    assert together.shape == x.shape
    alone = block(x[1:2], cache.attention_metadata(torch.tensor([1]), 4), 0)
    assert torch.equal(alone[0], together[1])


def test_fused_block_captures_the_same_scores() -> None:
    block, new_pass = packed(TransformerBlock(32, 64, 4, 2, 64, scaled=False)), passes(2, 16)
    x, captures = some(int(LENGTHS.sum()), 32), [AttentionCapture({0: (1, 3)}, [1, 3], 5) for _ in range(2)]
    block(x, replace(new_pass(), capture=captures[0]), 0)
    block(x, replace(new_pass(), capture=captures[0]), 1)
    with unfused(block):
        block(x, replace(new_pass(), capture=captures[1]), 0)
    assert [len(capture.scores) for capture in captures] == [2, 2]
    for found, expected in zip(captures[0].scores, captures[1].scores, strict=True):
        assert_near(found, expected)


@pytest.mark.parametrize("rows", [1, 7])
def test_adaln_block_equals_its_parts(rows: int) -> None:
    block = packed(AdaLNBlock(48))
    x, modulation = some(rows, 48), some(rows, 400, seed=1)[:, 100:244]
    found = block(x, modulation)
    with unfused(block):
        expected = block(x, modulation)
    assert_near(found, expected)
    with pytest.raises(AssertionError):
        assert_near(block(x, modulation.flip(1)), expected)


@pytest.mark.parametrize("filters", [32, 16], ids=["all fused", "the narrow ones unfused"])
def test_conv_chain_equals_its_parts_to_the_last_bit(filters: int) -> None:
    shape = SEANetConfig(
        dimension=48, n_filters=filters, ratios=(3, 4, 2), compress=2, channels=1, kernel_size=3, last_kernel_size=3,
        residual_kernel_size=3, dilation_base=2, n_residual_layers=2, pad_mode="constant",
    )  # fmt: skip
    decoder = packed(SEANet.decoder(shape))
    unfused_layers, rows = list(decoder._layers), 3
    outputs = []
    decoder.fuse()
    fused_layers = decoder._layers
    assert len(fused_layers) < len(unfused_layers)
    for layers in (unfused_layers, fused_layers):
        decoder._layers, states = layers, ZeroStates()
        outputs.append([decoder(some(rows, time, 48, seed=time), states) for time in (5, 1, 8)])
    for expected, found in zip(*outputs, strict=True):
        assert torch.equal(found, expected)


def test_other_precisions_and_narrow_layers_stay_unfused() -> None:
    narrow, exact = packed(TransformerBlock(8, 16, 2, 2, 32, scaled=False)), AdaLNBlock(32)
    pack(exact, Precision.FLOAT32)
    assert (narrow._fused, exact._fused) == (None, None)

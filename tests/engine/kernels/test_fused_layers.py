"""engine/kernels/fused_layers.py: a block in one loop says what its parts say one after the other."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import TypeVar

import pytest
import torch
from torch import Tensor, nn

from sayline_tts.engine.cache.kv_cache import CacheShape, KVCache
from sayline_tts.engine.checkpoint.config import SEANetConfig
from sayline_tts.engine.kernels.attention import AttentionMetadata
from sayline_tts.engine.kernels.attention_capture import AttentionCapture
from sayline_tts.engine.kernels.precision import Precision
from sayline_tts.engine.models.flow_head import AdaLNBlock
from sayline_tts.engine.models.layers import StreamingConv, TransformerBlock, pack
from sayline_tts.engine.models.mimi import SEANet

Network = TypeVar("Network", bound=nn.Module)

CPU, LENGTHS = torch.device("cpu"), torch.tensor([1, 5, 1, 20])
TOLERANCE = 5e-3  # a level of the next product may be another where a norm was rounded otherwise; of rms


def some(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def packed(network: Network) -> Network:
    """In int8, weights at random."""
    for seed, weights in enumerate(network.parameters()):
        weights.data = some(*weights.shape, seed=seed) / weights.shape[-1] ** 0.5
    pack(network.requires_grad_(False), Precision.INT8)
    return network


def assert_near(found: Tensor, expected: Tensor) -> None:
    assert found.shape == expected.shape
    assert (found - expected).square().mean().sqrt() < TOLERANCE * expected.square().mean().sqrt()


class Remembered:
    """The memory of a decoder, which begins at silence."""

    def __init__(self) -> None:
        self._tails: dict[StreamingConv, Tensor] = {}

    def get(self, layer: StreamingConv, x: Tensor) -> Tensor:
        return self._tails.setdefault(layer, torch.zeros(len(x), layer.state_length, layer.state_channels))


@contextmanager
def apart(block: TransformerBlock | AdaLNBlock) -> Iterator[None]:
    """Its parts, each by a call of its own."""
    whole, block._fused = block._fused, None
    assert whole is not None, "it was not joined"
    yield
    block._fused = whole


def passes(kv_heads: int, dim: int) -> Callable[[], AttentionMetadata]:
    """The same pass over new rows, whenever it is asked for."""

    def pass_() -> AttentionMetadata:
        cache = KVCache(CacheShape(2, kv_heads, dim, 10000.0, torch.bfloat16, CPU), len(LENGTHS))
        return cache.attention_metadata(torch.arange(len(LENGTHS)), LENGTHS)

    return pass_


@pytest.mark.parametrize(
    ("width", "heads", "kv_heads", "wide", "scaled"),
    [(64, 4, 4, 128, False), (48, 6, 2, 64, True), (32, 2, 1, 70, False)],
)
def test_a_transformer_block_is_its_parts(width: int, heads: int, kv_heads: int, wide: int, scaled: bool) -> None:
    block = packed(TransformerBlock(width, heads * 16, heads, kv_heads, wide, scaled))
    attention_metadata, x = passes(kv_heads, 16), some(int(LENGTHS.sum()), width)
    first, second = attention_metadata(), attention_metadata()
    found = [block(x, first, layer) for layer in (0, 1)]
    with apart(block):
        expected = [block(x, second, layer) for layer in (0, 1)]
    for layer in (0, 1):
        assert_near(found[layer], expected[layer])
    with pytest.raises(AssertionError):
        assert_near(found[0], x)


def test_rows_of_one_length_keep_their_shape() -> None:
    block = packed(TransformerBlock(32, 32, 2, 2, 64, scaled=False))
    cache = KVCache(CacheShape(1, 2, 16, 10000.0, torch.bfloat16, CPU), 3, context=20, pass_length=4)
    x = some(3, 4, 32)
    together = block(x, cache.attention_metadata(torch.arange(3), 4), 0)
    assert together.shape == x.shape
    alone = block(x[1:2], cache.attention_metadata(torch.tensor([1]), 4), 0)
    assert torch.equal(alone[0], together[1]), "nobody's company changes him"


def test_where_its_heads_look_is_told_as_by_its_parts() -> None:
    block, attention_metadata = packed(TransformerBlock(32, 64, 4, 2, 64, scaled=False)), passes(2, 16)
    x, watches = some(int(LENGTHS.sum()), 32), [AttentionCapture({0: (1, 3)}, [1, 3], 5) for _ in range(2)]
    block(x, replace(attention_metadata(), capture=watches[0]), 0)
    block(x, replace(attention_metadata(), capture=watches[0]), 1)
    with apart(block):
        block(x, replace(attention_metadata(), capture=watches[1]), 0)
    assert [len(capture.scores) for capture in watches] == [2, 2]
    for found, expected in zip(watches[0].scores, watches[1].scores, strict=True):
        assert_near(found, expected)


@pytest.mark.parametrize("rows", [1, 7])
def test_a_block_of_the_head_is_its_parts(rows: int) -> None:
    block = packed(AdaLNBlock(48))
    x, modulation = some(rows, 48), some(rows, 400, seed=1)[:, 100:244]
    found = block(x, modulation)
    with apart(block):
        expected = block(x, modulation)
    assert_near(found, expected)
    with pytest.raises(AssertionError):
        assert_near(block(x, modulation.flip(1)), expected)


@pytest.mark.parametrize("filters", [32, 16], ids=["all in one", "the narrow ones apart"])
def test_a_chain_of_convolutions_is_each_of_them_to_the_bit(filters: int) -> None:
    shape = SEANetConfig(
        dimension=48, n_filters=filters, ratios=(3, 4, 2), compress=2, channels=1, kernel_size=3, last_kernel_size=3,
        residual_kernel_size=3, dilation_base=2, n_residual_layers=2, pad_mode="constant",
    )  # fmt: skip
    decoder = packed(SEANet.decoder(shape))
    apart, rows = list(decoder._layers), 3
    said = []
    decoder.fuse()
    chained = decoder._layers
    assert len(chained) < len(apart)
    for steps in (apart, chained):
        decoder._layers, tails = steps, Remembered()
        said.append([decoder(some(rows, time, 48, seed=time), tails) for time in (5, 1, 8)])
    for expected, found in zip(*said, strict=True):
        assert torch.equal(found, expected)


def test_other_precisions_and_narrow_products_stay_apart() -> None:
    narrow, exact = packed(TransformerBlock(8, 16, 2, 2, 32, scaled=False)), AdaLNBlock(32)
    pack(exact, Precision.FLOAT32)
    assert (narrow._fused, exact._fused) == (None, None)

"""Numbers as the KV cache stores them, float32 or bfloat16: conversion, and the attention kernels for each.

`storage` is an array of the cache's dtype; bfloat16 is stored as uint16.
"""

from typing import Any

import numpy as np
from numba import uint16
from numba.extending import overload

from sayline_tts.engine.kernels.attention_simd import (
    accumulate_values_bfloat16,
    accumulate_values_float32,
    accumulate_values_x4_bfloat16,
    accumulate_values_x4_float32,
    qk_scores_bfloat16,
    qk_scores_float32,
)
from sayline_tts.engine.kernels.ir_builder import LANES

HALF_WORD, ROUNDING, ODD = np.uint32(16), np.uint32(0x7FFF), np.uint32(1)


def to_float32(value: Any) -> Any:
    """A stored number as float32."""


@overload(to_float32, inline="always")
def _to_float32_overload(value: Any) -> Any:
    def shifted(value: Any) -> Any:
        return np.uint32(np.uint32(value) << HALF_WORD).view(np.float32)

    def same(value: Any) -> Any:
        return value

    return shifted if value is uint16 else same


def store_rounded(target: Any, i: Any, value: Any) -> Any:
    """Store a float32; in bfloat16 round to nearest, ties to even."""


@overload(store_rounded, inline="always")
def _store_overload(target: Any, i: Any, value: Any) -> Any:
    def rounded(target: Any, i: Any, value: Any) -> Any:
        bits = np.float32(value).view(np.uint32)
        target[i] = np.uint16(np.uint32(bits + ROUNDING + ((bits >> HALF_WORD) & ODD)) >> HALF_WORD)

    def same(target: Any, i: Any, value: Any) -> Any:
        target[i] = value

    return rounded if target.dtype is uint16 else same


def qk_scores(storage: Any, query: Any, vectors: Any, keys: Any, count: Any, ahead: Any, scores: Any) -> None:
    """The `qk_scores` kernel for this storage."""


@overload(qk_scores, inline="always")
def _qk_scores_overload(storage: Any, query: Any, vectors: Any, keys: Any, count: Any, ahead: Any, scores: Any) -> Any:
    kernel = qk_scores_bfloat16 if storage.dtype is uint16 else qk_scores_float32

    def scores_of_storage(
        storage: Any, query: Any, vectors: Any, keys: Any, count: Any, ahead: Any, scores: Any
    ) -> None:
        kernel(query, vectors, keys, count, ahead, scores)

    return scores_of_storage


def accumulate_values(storage: Any, weights: Any, values: Any, count: Any, vectors: Any, ahead: Any, out: Any) -> None:
    """Add the weighted sum of stored values of so many vectors to `out`."""


@overload(accumulate_values, inline="always")
def _accumulate_values_overload(
    storage: Any, weights: Any, values: Any, count: Any, vectors: Any, ahead: Any, out: Any
) -> Any:
    one, four = (
        (accumulate_values_bfloat16, accumulate_values_x4_bfloat16)
        if storage.dtype is uint16
        else (accumulate_values_float32, accumulate_values_x4_float32)
    )

    def accumulate(storage: Any, weights: Any, values: Any, count: Any, vectors: Any, ahead: Any, out: Any) -> None:
        size, wide = LANES * storage.itemsize, 4 * LANES  # bytes of a vector in the cache, and in `out`
        for vector in range(0, vectors - 3, 4):
            four(weights, values + vector * size, count, vectors * size, ahead + vector * size, out + vector * wide)
        for vector in range(vectors // 4 * 4, vectors):
            one(weights, values + vector * size, count, vectors * size, ahead + vector * size, out + vector * wide)

    return accumulate

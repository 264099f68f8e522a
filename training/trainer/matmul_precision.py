"""Precision of matrix products in training: the faster of bfloat16 and float32 on this processor."""

from functools import cache
from time import perf_counter

import torch

from training.trainer.device import current_device

SIZE = 512  # of the matrices in the benchmark
REPETITIONS = 5


def fast_matmul() -> torch.autocast:
    """An autocast context for bfloat16, disabled if float32 is faster: without AMX, bfloat16 may take twice as long."""
    kind = current_device().type
    if kind != "cpu" and torch.amp.autocast_mode.is_autocast_available(kind):
        return torch.autocast(kind, torch.bfloat16)
    return torch.autocast("cpu", torch.bfloat16, enabled=kind == "cpu" and _bfloat16_is_faster())


@cache
def _bfloat16_is_faster() -> bool:
    return _seconds(torch.bfloat16) < _seconds(torch.float32)


def _seconds(dtype: torch.dtype) -> float:
    matrix, times_s = torch.ones(SIZE, SIZE, dtype=dtype), []
    for _ in range(REPETITIONS):
        start_s = perf_counter()
        torch.mm(matrix, matrix)
        times_s.append(perf_counter() - start_s)
    return min(times_s)

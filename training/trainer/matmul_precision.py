"""In which numbers the trainings multiply: whatever this processor multiplies fastest."""

from functools import cache
from time import perf_counter

import torch

SIZE = 512  # of the square matrices that tell
TRIES = 5


def quick_products() -> torch.autocast:
    """A context in which products are of bfloat16, where it is faster than float32. Having it does not make it so:
    a processor without AMX may take twice as long as with float32.
    """
    return torch.autocast("cpu", torch.bfloat16, enabled=_bfloat16_is_faster())


@cache
def _bfloat16_is_faster() -> bool:
    return _seconds(torch.bfloat16) < _seconds(torch.float32)


def _seconds(dtype: torch.dtype) -> float:
    square, taken = torch.ones(SIZE, SIZE, dtype=dtype), []
    for _ in range(TRIES):
        start = perf_counter()
        torch.mm(square, square)
        taken.append(perf_counter() - start)
    return min(taken)

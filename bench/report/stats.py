"""Percentiles and spreads."""

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self


def percentile(values: Sequence[float], percent: float) -> float | None:
    """Return the nearest-rank percentile, or None for no values."""
    if not values:
        return None
    rank = math.ceil(percent / 100 * len(values))
    return sorted(values)[max(rank, 1) - 1]


@dataclass(frozen=True, slots=True)
class Spread:
    """Median and range of several runs."""

    median: float
    least: float
    most: float
    runs: int

    @classmethod
    def of(cls, values: Sequence[float | None]) -> Self | None:
        """Ignore runs without a value; None if none has one."""
        known = [value for value in values if value is not None]
        if not known:
            return None
        return cls(statistics.median(known), min(known), max(known), len(known))


@dataclass(frozen=True, slots=True)
class Quantiles:
    """Quantiles of a latency distribution."""

    p50: float
    p95: float
    p99: float
    most: float
    count: int

    @classmethod
    def of(cls, values: Sequence[float]) -> Self | None:
        if not values:
            return None
        p50, p95, p99 = (percentile(values, percent) or 0.0 for percent in (50, 95, 99))
        return cls(p50, p95, p99, max(values), len(values))

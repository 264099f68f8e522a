"""Resident memory for each further listener, measured on a fresh server with a growing number of listeners."""

import asyncio
from dataclasses import dataclass
from itertools import pairwise

from sayline_tts.bench.load.load_generator import LoadGenerator
from sayline_tts.bench.load.process import CpuMeter
from sayline_tts.bench.load.stream import Connect
from sayline_tts.bench.load.texts import Texts

LEVELS = 4


@dataclass(frozen=True, slots=True)
class Memory:
    """`points`: number of listeners, and resident MB after each had received a text."""

    points: tuple[tuple[int, float], ...]
    mean_mb: float  # for each further listener
    most_mb: float  # for each, between the neighbouring points with the steepest growth

    @classmethod
    def of(cls, points: list[tuple[int, float]]) -> "Memory":
        slopes = [(more_mb - less_mb) / (more - less) for (less, less_mb), (more, more_mb) in pairwise(points)]
        (first, first_mb), (last, last_mb) = points[0], points[-1]
        return cls(tuple(points), (last_mb - first_mb) / (last - first), max(slopes))


async def measure_memory(connect: Connect, texts: Texts, meter: CpuMeter, listeners: int) -> Memory | None:
    """Measure 1 to `listeners` listeners. None if the server's memory cannot be read. Raises `ConnectionLost`."""
    counts = sorted({1, *(max(1, round(listeners * level / LEVELS)) for level in range(1, LEVELS + 1))})
    points: list[tuple[int, float]] = []
    async with LoadGenerator(connect, texts) as generator:
        there = 0
        for count in counts:
            generator.add(count - there, within_s=1.0)
            there = count
            await asyncio.sleep(1.0 + texts.most_s)  # each has received about one text
            if (resident_mb := meter.resident_mb()) is not None:
                points.append((count, resident_mb))
    return Memory.of(points) if len(points) > 1 else None

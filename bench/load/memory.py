"""What each further listener costs in resident memory: a fresh server, and listeners who come by and by."""

import asyncio
from dataclasses import dataclass
from itertools import pairwise

from sayline_tts.bench.load.load_generator import Crowd
from sayline_tts.bench.load.process import Meter
from sayline_tts.bench.load.stream import Connect
from sayline_tts.bench.load.texts import Texts

LEVELS = 4


@dataclass(frozen=True, slots=True)
class Memory:
    """`points`: listeners, and resident MB when so many had spoken for a while."""

    points: tuple[tuple[int, float], ...]
    mean_mb: float  # for each further listener
    most_mb: float  # for each, between the two neighbouring points where it grew most

    @classmethod
    def of(cls, points: list[tuple[int, float]]) -> "Memory":
        slopes = [(more_mb - less_mb) / (more - less) for (less, less_mb), (more, more_mb) in pairwise(points)]
        (first, first_mb), (last, last_mb) = points[0], points[-1]
        return cls(tuple(points), (last_mb - first_mb) / (last - first), max(slopes))


async def measure_memory(connect: Connect, texts: Texts, meter: Meter, listeners: int) -> Memory | None:
    """From 1 listener up to `listeners`. None where the server's memory cannot be read. Raises `Lost`."""
    counts = sorted({1, *(max(1, round(listeners * level / LEVELS)) for level in range(1, LEVELS + 1))})
    points: list[tuple[int, float]] = []
    async with Crowd(connect, texts) as crowd:
        there = 0
        for count in counts:
            crowd.add(count - there, within_s=1.0)
            there = count
            await asyncio.sleep(1.0 + texts.most_s)  # each has spoken one text to its end, or nearly
            if (resident_mb := meter.resident_mb()) is not None:
                points.append((count, resident_mb))
    return Memory.of(points) if len(points) > 1 else None

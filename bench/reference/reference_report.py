"""Two servers side by side on a terminal, and the ratio of them."""

import sys
from collections.abc import Callable, Sequence
from typing import Protocol

from rich import box
from rich.console import Console
from rich.table import Table

from sayline_tts.bench.load.memory import Memory
from sayline_tts.bench.report.report import Ramp
from sayline_tts.bench.report.stats import Quantiles, Spread


class Seen(Protocol):
    """What was seen of one server."""

    name: str
    first_audio_ms: list[Quantiles]
    alone_x: list[float]
    ramps: list[Ramp]
    memory: Memory | None


FIGURES: tuple[tuple[str, Callable[[Seen], Sequence[float | None]], int], ...] = (
    ("first audio, idle, p50, ms", lambda seen: [quantiles.p50 for quantiles in seen.first_audio_ms], 1),
    ("one listener alone, times real time", lambda seen: seen.alone_x, 1),
    ("most listeners, none ran dry", lambda seen: [ramp.listeners for ramp in seen.ramps], 0),
    ("  first audio p95 with so many, ms", lambda seen: [_first_audio(ramp) for ramp in seen.ramps], 0),
    ("  CPU ms per second of audio", lambda seen: [_cpu(ramp) for ramp in seen.ramps], 1),
    ("memory for each further listener, MB", lambda seen: [seen.memory.mean_mb if seen.memory else None], 1),
)


def print_ratios(ours: Seen, theirs: Seen, console: Console | None = None) -> None:
    """Medians of the runs; the least and the most of them behind."""
    table = Table("", ours.name, theirs.name, "ratio", box=box.SIMPLE_HEAD, pad_edge=False)
    for column in table.columns[1:]:
        column.justify = "right"
    for label, figure, digits in FIGURES:
        pair = [Spread.of(figure(seen)) for seen in (ours, theirs)]
        table.add_row(label, *(_told(spread, digits) for spread in pair), _ratio(*pair))
    (console or Console(width=None if sys.stdout.isatty() else 120)).print(table)


def _told(spread: Spread | None, digits: int) -> str:
    if spread is None:
        return "-"
    return f"{spread.median:.{digits}f} ({spread.least:.{digits}f} to {spread.most:.{digits}f})"


def _ratio(ours: Spread | None, theirs: Spread | None) -> str:
    return f"{ours.median / theirs.median:.2f}" if ours and theirs and theirs.median else "-"


def _first_audio(ramp: Ramp) -> float | None:
    return ramp.best.ttfa_ms.p95 if ramp.best and ramp.best.ttfa_ms else None


def _cpu(ramp: Ramp) -> float | None:
    return ramp.best.server_cpu_ms_per_audio_s if ramp.best else None

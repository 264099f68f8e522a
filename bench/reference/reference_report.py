"""Print the results of two servers side by side, with their ratios."""

import sys
from collections.abc import Callable, Sequence
from typing import Protocol

from rich import box
from rich.console import Console
from rich.table import Table

from sayline_tts.bench.load.memory import Memory
from sayline_tts.bench.report.report import CapacityResult
from sayline_tts.bench.report.stats import Quantiles, Spread


class Results(Protocol):
    """Results of one server."""

    name: str
    first_audio_ms: list[Quantiles]
    alone_x: list[float]
    ramps: list[CapacityResult]
    memory: Memory | None


FIGURES: tuple[tuple[str, Callable[[Results], Sequence[float | None]], int], ...] = (
    ("first audio, idle, p50, ms", lambda results: [quantiles.p50 for quantiles in results.first_audio_ms], 1),
    ("single listener, times real time", lambda results: results.alone_x, 1),
    ("concurrent listeners, no underrun", lambda results: [ramp.listeners for ramp in results.ramps], 0),
    ("  their first audio p95, ms", lambda results: [_first_audio(ramp) for ramp in results.ramps], 0),
    ("  CPU ms per second of audio", lambda results: [_cpu(ramp) for ramp in results.ramps], 1),
    ("memory for each further listener, MB", lambda results: [results.memory.mean_mb if results.memory else None], 1),
)


def print_ratios(ours: Results, theirs: Results, console: Console | None = None) -> None:
    """Print medians, with the range of the runs in parentheses."""
    table = Table("", ours.name, theirs.name, "ratio", box=box.SIMPLE_HEAD, pad_edge=False)
    for column in table.columns[1:]:
        column.justify = "right"
    for label, figure, digits in FIGURES:
        pair = [Spread.of(figure(results)) for results in (ours, theirs)]
        table.add_row(label, *(_format_spread(spread, digits) for spread in pair), _ratio(*pair))
    (console or Console(width=None if sys.stdout.isatty() else 120)).print(table)


def _format_spread(spread: Spread | None, digits: int) -> str:
    if spread is None:
        return "-"
    return f"{spread.median:.{digits}f} ({spread.least:.{digits}f} to {spread.most:.{digits}f})"


def _ratio(ours: Spread | None, theirs: Spread | None) -> str:
    return f"{ours.median / theirs.median:.2f}" if ours and theirs and theirs.median else "-"


def _first_audio(ramp: CapacityResult) -> float | None:
    return ramp.best.ttfa_ms.p95 if ramp.best and ramp.best.ttfa_ms else None


def _cpu(ramp: CapacityResult) -> float | None:
    return ramp.best.server_cpu_ms_per_audio_s if ramp.best else None

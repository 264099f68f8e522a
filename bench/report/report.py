"""The results of a benchmark, as JSON and as a table for the terminal."""

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table

from sayline_tts.bench.engine_times import WORDS_ROWS, EngineTimes
from sayline_tts.bench.load.measurement import Measurement
from sayline_tts.bench.load.memory import Memory
from sayline_tts.bench.load.single_stream import TOKENS_A_SECOND
from sayline_tts.bench.load.texts import Texts
from sayline_tts.bench.report.stats import Quantiles, Spread
from sayline_tts.bench.report.system_info import SystemInfo


@dataclass(frozen=True, slots=True)
class CapacityResult:
    """Result of one capacity search. `best`: the measurement at that load; None if no load level held."""

    listeners: int
    best: Measurement | None
    probes: tuple[Measurement, ...]

    @property
    def most_supplied(self) -> int:
        """The largest number of listeners without an underrun, whatever their first audio."""
        return max((int(probe.listeners) for probe in self.probes if probe.supplied), default=0)


@dataclass
class Report:
    """Fields of phases that did not run are empty."""

    command: str
    when: str
    machine: SystemInfo
    ttfa_target_ms: float
    model: str = ""
    precision: str = ""
    settings: dict[str, str] = field(default_factory=dict)  # `SAYLINE_*` variables of the server
    engine: EngineTimes | None = None
    texts: Texts | None = None
    start_s: list[float] = field(default_factory=list)
    idle_ttfa_ms: list[Quantiles] = field(default_factory=list)
    alone_x: list[float] = field(default_factory=list)
    writer_ttfa_ms: dict[int, list[Quantiles]] = field(default_factory=dict)  # by words ahead
    memory: Memory | None = None
    ramps: list[CapacityResult] = field(default_factory=list)
    poisson: list[Measurement] = field(default_factory=list)

    @property
    def listeners(self) -> Spread | None:
        """The headline: concurrent listeners."""
        return Spread.of([ramp.listeners for ramp in self.ramps])

    def to_json(self) -> str:
        content: dict[str, Any] = asdict(self)
        content["headline"] = {
            "listeners": self.listeners and asdict(self.listeners),
            "most_supplied": [ramp.most_supplied for ramp in self.ramps],
        }
        rounded = json.loads(json.dumps(content), parse_float=lambda number: round(float(number), 4))
        return json.dumps(rounded, indent=2) + "\n"

    def print(self, console: Console) -> None:
        machine = self.machine
        model = ", ".join(filter(None, (self.model, self.precision))) or "A server"
        console.print(f"{model} on {machine.cpu}, {machine.cores} cores, torch {machine.torch}")
        console.print(f"  {' '.join(machine.flags)}", style="dim")
        table = Table("", "median", "min", "max", "runs", box=box.SIMPLE_HEAD, pad_edge=False)
        for column in table.columns[1:]:
            column.justify = "right"
        for row in self._rows():
            table.add_row(*row)
        console.print(table)
        if self.engine:
            console.print(_step_table(self.engine))

    def _rows(self) -> Iterator[tuple[str, ...]]:
        yield from _row("start to first audio, s", self.start_s, 2)
        yield from _row("first audio, idle, p50, ms", [quantiles.p50 for quantiles in self.idle_ttfa_ms])
        yield from _row("first audio, idle, p95, ms", [quantiles.p95 for quantiles in self.idle_ttfa_ms])
        for words, quantiles in self.writer_ttfa_ms.items():
            yield from _row(
                f"first audio from the first of {TOKENS_A_SECOND:g} tokens a second, "
                f"{f'{words} words ahead' if words else 'whole clauses'}, p50, ms",
                [each.p50 for each in quantiles],
            )
        yield from _row("single listener, times real time", self.alone_x)
        if self.engine:
            yield from _row("  in the engine, without a socket", [self.engine.alone_x])
            yield from _row(
                f"word timestamps, FlowLM step of {WORDS_ROWS} rows, relative cost", [self.engine.words_x], 3
            )
            for rows, first_audio_at_ms in self.engine.prefill_ms.items():
                yield from _row(f"  {rows} simultaneous new utterances, until all have audio, ms", [first_audio_at_ms])
        if self.engine and self.engine.voice_s is not None:
            yield from _row("encode a voice of 5 s, s", [self.engine.voice_s], 2)
        if self.memory:
            yield from _row("memory for each further listener, mean, MB", [self.memory.mean_mb])
            yield from _row("memory for each further listener, maximum, MB", [self.memory.most_mb])
        if self.ramps:
            yield from _row(
                "CONCURRENT LISTENERS, no underrun, first audio in time", [r.listeners for r in self.ramps], 0
            )
            yield from _row("  regardless of first audio", [ramp.most_supplied for ramp in self.ramps], 0)
            yield from _measurement_rows([ramp.best for ramp in self.ramps if ramp.best])
        if self.poisson:
            listeners = self.poisson[0].listeners
            yield (f"POISSON ARRIVALS, {listeners:g} listeners on average", "", "", "", "")
            yield from _measurement_rows(self.poisson)


FIGURES: tuple[tuple[str, Callable[[Measurement], float | None], int], ...] = (
    ("  first audio p50, ms", lambda m: m.ttfa_ms.p50 if m.ttfa_ms else None, 1),
    ("  first audio p95, ms", lambda m: m.ttfa_ms.p95 if m.ttfa_ms else None, 1),
    ("  first audio p99, ms", lambda m: m.ttfa_ms.p99 if m.ttfa_ms else None, 1),
    ("  listeners", lambda m: m.served, 0),
    ("  without an underrun", lambda m: m.without_underrun, 0),
    ("  underruns", lambda m: m.underruns, 0),
    ("  longest stall, ms", lambda m: m.longest_stall_ms, 1),
    ("  gap between packets p99, ms", lambda m: m.gap_ms_p99, 1),
    ("  audio left when a packet arrived, p1, ms", lambda m: m.margin_ms_p01, 1),
    ("  rejected", lambda m: m.rejects, 0),
    ("  errors", lambda m: sum(m.errors.values()), 0),
    ("  server CPU ms per second of audio", lambda m: m.server_cpu_ms_per_audio_s, 1),
    ("  server, cores busy", lambda m: m.server_cores, 2),
    ("  load generator, cores busy", lambda m: m.generator_cores, 3),
    ("  load generator, scheduling lag p99, ms", lambda m: m.generator_lag_ms_p99, 1),
)


def _measurement_rows(measurements: Sequence[Measurement]) -> Iterator[tuple[str, ...]]:
    for label, figure, digits in FIGURES:
        yield from _row(label, [figure(measurement) for measurement in measurements], digits)


def _row(label: str, values: Sequence[float | None], digits: int = 1) -> Iterator[tuple[str, ...]]:
    """Yield one row, or none without measurements."""
    if spread := Spread.of(values):
        yield label, *(f"{value:.{digits}f}" for value in (spread.median, spread.least, spread.most)), str(spread.runs)


def _step_table(engine: EngineTimes) -> Table:
    table = Table(
        "listeners in a step", "step ms", "FlowLM ms", "codec ms", "ms each", box=box.SIMPLE_HEAD, pad_edge=False
    )
    for column in table.columns:
        column.justify = "right"
    for step in engine.steps:
        times = (step.step_ms, step.flow_ms, step.codec_ms, step.step_ms / step.rows)
        table.add_row(str(step.rows), *(f"{time_ms:.1f}" for time_ms in times))
    return table

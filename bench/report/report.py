"""All that a bench found out: as JSON, and as a table for a terminal."""

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
from sayline_tts.bench.load.texts import Texts
from sayline_tts.bench.report.stats import Quantiles, Spread
from sayline_tts.bench.report.system_info import Machine


@dataclass(frozen=True, slots=True)
class Ramp:
    """One search for the most listeners. `best` is what they saw; None if not even one could be served."""

    listeners: int
    best: Measurement | None
    probes: tuple[Measurement, ...]

    @property
    def most_supplied(self) -> int:
        """The most that were seen to be supplied, however late their first audio came."""
        return max((int(probe.listeners) for probe in self.probes if probe.supplied), default=0)


@dataclass
class Report:
    """What was not measured is empty."""

    command: str
    when: str
    machine: Machine
    ttfa_target_ms: float
    model: str = ""
    precision: str = ""
    settings: dict[str, str] = field(default_factory=dict)  # `SAYLINE_*` and flags that the server had
    engine: EngineTimes | None = None
    texts: Texts | None = None
    start_s: list[float] = field(default_factory=list)
    idle_ttfa_ms: list[Quantiles] = field(default_factory=list)
    alone_x: list[float] = field(default_factory=list)
    memory: Memory | None = None
    ramps: list[Ramp] = field(default_factory=list)
    poisson: list[Measurement] = field(default_factory=list)

    @property
    def listeners(self) -> Spread | None:
        """The headline."""
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
        table = Table("", "median", "least", "most", "runs", box=box.SIMPLE_HEAD, pad_edge=False)
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
        yield from _row("one listener alone, times real time", self.alone_x)
        if self.engine:
            yield from _row("  in the engine, without a socket", [self.engine.alone_x])
            yield from _row(f"words' times, cost of FlowLM's step of {WORDS_ROWS}, times", [self.engine.words_x], 3)
            for rows, first_ms in self.engine.prefill_ms.items():
                yield from _row(f"  {rows} who begin at once, until all have their first sound, ms", [first_ms])
        if self.engine and self.engine.voice_s is not None:
            yield from _row("voice of 5 s encoded, s", [self.engine.voice_s], 2)
        if self.memory:
            yield from _row("memory for each further listener, mean, MB", [self.memory.mean_mb])
            yield from _row("memory for each further listener, at most, MB", [self.memory.most_mb])
        if self.ramps:
            yield from _row("MOST LISTENERS, none dry, first audio in time", [r.listeners for r in self.ramps], 0)
            yield from _row("  without regard to first audio", [ramp.most_supplied for ramp in self.ramps], 0)
            yield from _crowd_rows([ramp.best for ramp in self.ramps if ramp.best])
        if self.poisson:
            listeners = self.poisson[0].listeners
            yield (f"ARRIVALS BY CHANCE, {listeners:g} listeners on average", "", "", "", "")
            yield from _crowd_rows(self.poisson)


FIGURES: tuple[tuple[str, Callable[[Measurement], float | None], int], ...] = (
    ("  first audio p50, ms", lambda m: m.ttfa_ms.p50 if m.ttfa_ms else None, 1),
    ("  first audio p95, ms", lambda m: m.ttfa_ms.p95 if m.ttfa_ms else None, 1),
    ("  first audio p99, ms", lambda m: m.ttfa_ms.p99 if m.ttfa_ms else None, 1),
    ("  listeners", lambda m: m.heard, 0),
    ("  of them without underrun", lambda m: m.without_underrun, 0),
    ("  underruns", lambda m: m.underruns, 0),
    ("  longest stall, ms", lambda m: m.longest_stall_ms, 1),
    ("  gap between packets p99, ms", lambda m: m.gap_ms_p99, 1),
    ("  left to play when a packet came, p1, ms", lambda m: m.margin_ms_p01, 1),
    ("  rejected", lambda m: m.rejects, 0),
    ("  errors", lambda m: sum(m.errors.values()), 0),
    ("  server CPU ms per second of audio", lambda m: m.server_cpu_ms_per_audio_s, 1),
    ("  server, cores busy", lambda m: m.server_cores, 2),
    ("  load generator, cores busy", lambda m: m.generator_cores, 3),
    ("  load generator, own lag p99, ms", lambda m: m.generator_lag_ms_p99, 1),
)


def _crowd_rows(measurements: Sequence[Measurement]) -> Iterator[tuple[str, ...]]:
    for label, figure, digits in FIGURES:
        yield from _row(label, [figure(measurement) for measurement in measurements], digits)


def _row(label: str, values: Sequence[float | None], digits: int = 1) -> Iterator[tuple[str, ...]]:
    """None where nothing was measured."""
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

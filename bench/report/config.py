"""What to measure, and how thoroughly."""

from dataclasses import dataclass, field

PHASES = ("engine", "start", "alone", "writer", "memory", "ramp", "poisson")
NATIVE_PHASES = ("writer",)  # need options that only the native protocol has


@dataclass(frozen=True, slots=True)
class Size:
    """Durations and repetitions."""

    seconds: float = 60.0
    runs: int = 3
    least_s: float = 8.0  # duration of a text
    most_s: float = 15.0
    idle_texts: int = 30
    written_texts: int = 8
    memory_listeners: int = 16
    most_listeners: int = 256
    quick: bool = False


QUICK = Size(
    seconds=1.5,
    runs=1,
    least_s=1.0,
    most_s=2.0,
    idle_texts=2,
    written_texts=1,
    memory_listeners=2,
    most_listeners=2,
    quick=True,
)


@dataclass(frozen=True, slots=True)
class BenchConfig:
    """`url`: a running server; None: start one with this checkpoint."""

    url: str | None = None
    api_key: str | None = None
    voice: str | None = None
    variant: str = "auto"
    config: str | None = None
    listeners: int | None = None  # None: search for the maximum
    ttfa_target_ms: float = 100.0
    phases: tuple[str, ...] = PHASES
    size: Size = field(default_factory=Size)
    protocol: str = "native"  # of the listeners

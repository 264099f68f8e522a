"""What an engine's agent tells the registry."""

from dataclasses import dataclass
from enum import StrEnum


class State(StrEnum):
    """`STARTING`: it loads the model. `STOPPED`: as it was asked to. `FAILED`: a restart would not help."""

    STARTING = "starting"
    READY = "ready"
    DRAINING = "draining"
    STOPPED = "stopped"
    FAILED = "failed"
    LOST = "lost"  # never told: what the registry says of an engine that is silent


@dataclass(frozen=True)
class EngineReport:
    """`host` and `port`: where fronts reach it; port 0 while it has none. `cores`: it runs on these; empty: on all."""

    name: str
    state: State
    host: str
    port: int = 0
    pid: int = 0
    cores: tuple[int, ...] = ()
    speaking: int = 0
    waiting: int = 0
    capacity: int = 0
    fronts: int = 0
    message: str = ""

    @property
    def serves(self) -> bool:
        """Whether fronts should be connected to it, also if it gets nothing new."""
        return self.port > 0 and self.state in (State.READY, State.DRAINING)

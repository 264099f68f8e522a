"""The registry: what it tells fronts, and which engines it starts and stops."""

from sayline_tts.server.cluster.registry import LEARN_S, SILENCE_S, Registry
from sayline_tts.server.cluster.report import EngineReport, State
from sayline_tts.server.cluster.scaler import IDLE_S, Scaler


class Fleet:
    """A registry whose engines are names."""

    def __init__(self, minimum: int = 1, maximum: int = 4) -> None:
        self.now_s = 0.0
        self.started: list[str] = []
        self.drained: list[str] = []
        self.removed: list[str] = []
        self.registry = Registry(
            Scaler(minimum, maximum), self.started.append, self.drained.append, self.removed.append, lambda: self.now_s
        )

    def report(self, number: int, state: State = State.READY, speaking: int = 0, port: int | None = None) -> None:
        port = 8200 + number if port is None else port
        name = f"sayline-engine-{number}"
        self.registry.report(EngineReport(name, state, "10.0.0.1", port, speaking=speaking, capacity=10))

    @property
    def ports(self) -> list[int]:
        return [port for _, port in self.registry.engines()]

    @property
    def states(self) -> list[str]:
        return [each.state.value for each in self.registry.reports()]


def test_engines_are_started_at_first_and_told_once_they_are_ready() -> None:
    fleet = Fleet(2)
    assert fleet.started == ["sayline-engine-1", "sayline-engine-2"]
    assert (fleet.ports, fleet.states) == ([], ["starting", "starting"])
    fleet.report(2)
    assert fleet.ports == [8202]
    fleet.report(1, State.STARTING, port=0)
    fleet.report(2, State.DRAINING)
    assert fleet.ports == [8202]  # what it speaks goes on over this connection


def test_silent_engine_is_lost_and_comes_back_elsewhere() -> None:
    fleet = Fleet()
    fleet.report(1)
    fleet.now_s = SILENCE_S + 1
    assert (fleet.ports, fleet.states) == ([], ["lost"])
    fleet.report(1, port=9000)
    assert (fleet.ports, fleet.states) == ([9000], ["ready"])
    assert fleet.started == ["sayline-engine-1"]  # Ray restarts it


def test_load_starts_more_engines() -> None:
    fleet = Fleet(1, 3)
    fleet.now_s = LEARN_S
    fleet.report(1, speaking=10)
    fleet.registry.adjust()
    assert fleet.started == ["sayline-engine-1", "sayline-engine-2"]
    fleet.registry.adjust()
    assert len(fleet.started) == 2  # the second still starts


def test_new_registry_waits_for_the_engines_of_its_former_life() -> None:
    fleet = Fleet(1, 3)
    fleet.now_s = LEARN_S - 1
    fleet.report(1, speaking=10)
    fleet.registry.adjust()
    assert fleet.started == ["sayline-engine-1"]  # others may be there, and will tell
    for number in (2, 3):
        fleet.report(number)
    fleet.now_s = LEARN_S
    fleet.registry.adjust()
    assert fleet.started == ["sayline-engine-1"]


def test_least_busy_engine_is_drained_when_it_is_not_needed() -> None:
    fleet = Fleet(1, 3)
    fleet.now_s = LEARN_S
    for second in (LEARN_S, LEARN_S + IDLE_S):
        fleet.now_s = second
        for number, speaking in ((1, 2), (2, 0), (3, 0)):
            fleet.report(number, speaking=speaking)
        fleet.registry.adjust()
    assert fleet.drained == ["sayline-engine-3"]
    assert fleet.states == ["ready", "ready", "draining"]
    fleet.report(3, State.STOPPED, port=0)
    assert fleet.removed == ["sayline-engine-3"]
    assert fleet.states == ["ready", "ready"]


def test_failed_engine_is_not_replaced_by_another_that_would_fail() -> None:
    fleet = Fleet(1, 3)
    fleet.now_s = LEARN_S
    fleet.report(1, State.FAILED, port=0)
    fleet.registry.adjust()
    assert fleet.started == ["sayline-engine-1"]


def test_numbers_are_used_again_and_sorted_as_numbers() -> None:
    fleet = Fleet(11, 20)
    assert [each.name for each in fleet.registry.reports()][-2:] == ["sayline-engine-10", "sayline-engine-11"]
    fleet.report(4, State.STOPPED)
    fleet.now_s = LEARN_S
    fleet.registry.adjust()
    assert fleet.started[-1] == "sayline-engine-4"


def test_end_of_the_fleet_drains_what_speaks_and_takes_away_the_rest() -> None:
    fleet = Fleet(4)
    fleet.report(1)
    fleet.report(2, State.DRAINING)
    fleet.report(3, State.FAILED, port=0)
    fleet.registry.stop()
    assert fleet.drained == ["sayline-engine-1"]
    assert fleet.removed == ["sayline-engine-3", "sayline-engine-4"]
    fleet.report(4)  # was under way
    assert fleet.states == ["draining", "draining"]
    fleet.now_s = LEARN_S
    fleet.registry.adjust()
    assert len(fleet.started) == 4

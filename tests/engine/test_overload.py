"""Overload on a simulated machine that is slower than the cost model believes: whoever is admitted hears no gap."""

import random

import pytest

from sayline_tts.engine.scheduling.admission import MIN_STARTING
from tests.engine.simulation import FRAME_MS, Listener, Machine, costs_of

BELIEVED = 0.15  # of the real cost of a row: sockets, words and Opus are in no curve
TICK_MS = 250.0


class BusyMachine(Machine):
    """A machine that measures its load, with many more listeners than it can serve."""

    def __init__(self, believed: float = BELIEVED) -> None:
        super().__init__(costs_of(), max_waiting=64)
        self._costs.update(costs_of(believed))
        self.rng = random.Random(0)
        self.at(TICK_MS, self._tick)

    def _tick(self) -> None:
        self.observe_load(0.0, 0, 0.0)
        self.at(self.now_ms + TICK_MS, self._tick)

    def arrive(self) -> Listener:
        return self.add_speech(round(self.rng.uniform(4, 8) * 1000 / FRAME_MS))

    def offer(self, listeners: int) -> None:
        """From now on so many listeners at once: whoever is refused tries again in half a second, and none leaves."""
        for _ in range(listeners):
            self._stay(None)

    def _stay(self, listener: Listener | None) -> None:
        if listener is None or listener.ended or listener not in self.all_listeners:
            listener = self.arrive()
        self.at(self.now_ms + 500, lambda: self._stay(listener))


def late_share(machine: Machine) -> float:
    frames = sum(each.frames for each in machine.all_listeners)
    return sum(each.stalls for each in machine.all_listeners) / frames


def real_capacity() -> int:
    return Machine(costs_of()).capacity


@pytest.mark.parametrize("times", [1.2, 2.5, 4.0])
@pytest.mark.slow
def test_under_one_percent_of_frames_is_late_whatever_load_is_offered(times: float) -> None:
    capacity = real_capacity()
    machine = BusyMachine()
    assert machine.capacity > 3 * capacity, "the model believes in far more"
    machine.offer(round(times * capacity))
    machine.run_until(30_000)
    assert late_share(machine) < 0.01
    spoken_s = sum(each.frames for each in machine.all_listeners) * FRAME_MS / 1000
    assert spoken_s > 0.75 * capacity * 30, "the machine is used"
    assert machine.full or times < 2, "those that cannot be served in time are told"


def test_without_measuring_most_of_them_would_stutter() -> None:
    """The case that the tests above are about."""
    machine = BusyMachine()
    machine.observe_load = lambda *_: None  # type: ignore[method-assign]
    machine._scheduler.admission._fixed_capacity = 256
    machine.offer(4 * real_capacity())
    machine.run_until(10_000)
    assert late_share(machine) > 0.2


@pytest.mark.slow
def test_capacity_falls_at_once_when_the_machine_slows_down_and_recovers() -> None:
    machine = BusyMachine(believed=1.0)
    before = machine.capacity
    machine.offer(2 * before)
    machine.run_until(8_000)
    machine.actual = costs_of(1.5)
    machine.run_until(12_000)
    assert machine.capacity < 0.95 * before
    machine.actual = costs_of(1.0)
    machine.run_until(60_000)
    assert machine.capacity > 0.85 * before
    assert late_share(machine) < 0.03


def test_crowd_that_arrives_at_once_gets_in_by_and_by() -> None:
    machine = BusyMachine(believed=1.0)
    for _ in range(machine.capacity + 20):
        machine.arrive()
    machine.run_until(100)
    assert machine.load == MIN_STARTING
    machine.run_until(3_000)
    assert machine.load > 0.9 * machine.capacity


@pytest.mark.parametrize(("late_ms", "frames", "falls"), [(0.0, 1_000, False), (200.0, 0, True)])
def test_late_event_loop_lowers_the_capacity(late_ms: float, frames: int, falls: bool) -> None:
    machine = BusyMachine(believed=1.0)
    before = machine.capacity
    machine.offer(before)
    machine.run_until(3_000)
    machine.observe_load(late_ms, frames, 0.0)
    assert (machine.capacity < before) is falls


def test_costly_delivery_lowers_the_capacity() -> None:
    machine = BusyMachine(believed=1.0)
    machine._costs.cpus = 2.0
    before = machine.capacity
    for _ in range(30):
        machine.observe_load(0.0, 100, 300.0)
    assert machine.capacity < 0.7 * before

"""Admission, scheduling and decode queue together on a simulated machine: no underruns, fast first audio, few steps."""

import random

import pytest

from sayline_tts.engine.segment import Segment, Silence
from tests.engine.simulation import FRAME_MS, Listener, Machine, costs_of

ENDLESS = 10**5  # frames

pytestmark = pytest.mark.slow  # simulations of minutes of load


def arrivals(machine: Machine, a_second: float, until_s: float, seed: int = 0) -> list[Listener]:
    """Poisson arrivals of texts of 8 to 15 s."""
    rng, arrived = random.Random(seed), list[Listener]()

    def arrive() -> None:
        arrived.append(machine.add_speech(round(rng.uniform(8, 15) * 1000 / FRAME_MS)))

    now_s = rng.expovariate(a_second)
    while now_s < until_s:
        machine.at(1000 * now_s, arrive)
        now_s += rng.expovariate(a_second)
    return arrived


def settled(listeners: int, slowness: float = 1.0) -> Machine:
    """A machine with so many listeners that arrived one after the other, some seconds ago."""
    machine = Machine(costs_of(slowness), capacity=listeners + 100)
    for number in range(listeners):
        machine.at(100.0 * number, lambda: machine.add_speech(ENDLESS))
    machine.run_until(100.0 * listeners + 3000)
    machine.steps.clear()
    return machine


def waits_ms(listeners: list[Listener]) -> list[float]:
    return sorted(each.waited_ms for each in listeners if each.frames)


def quantile(share: float, sorted_values: list[float]) -> float:
    return sorted_values[int(share * (len(sorted_values) - 1))]


@pytest.mark.parametrize("seed", range(3))
def test_at_80_percent_of_capacity_no_underrun_and_p95_of_first_audio_below_100_ms(seed: int) -> None:
    machine = Machine(costs_of())
    arrived = arrivals(machine, 0.8 * machine.capacity / 11.5, 30, seed)
    machine.run_until(30_000)
    assert sum(each.stalls for each in arrived) == 0
    assert quantile(0.95, waits_ms(arrived)) < 100
    assert max(waits_ms(arrived)) < 250


def test_forty_listeners_have_no_underrun_while_others_come_and_go() -> None:
    machine = settled(40, slowness=0.8)
    arrived = arrivals(machine, 0.4, 40)
    machine.run_until(40_000)
    assert len(arrived) > 10
    assert sum(each.stalls for each in machine.all_listeners) == 0
    assert max(waits_ms(arrived)) < 150


def test_no_underrun_at_the_capacity_of_admission_control() -> None:
    machine = Machine(costs_of(), capacity=None)
    arrived = arrivals(machine, 3 * machine.capacity / 11.5, 20)
    machine.run_until(30_000)
    assert machine.full, "three times as many arrived"
    assert sum(each.stalls for each in arrived) == 0
    assert all(100 <= each_ms <= 11_000 for each_ms in machine.full)


def test_retry_after_the_given_time_is_admitted_more_often_than_not() -> None:
    admitted = [each for seed in range(6) for each in retries_admitted(seed)]
    assert len(admitted) > 100
    assert sum(admitted) > len(admitted) / 2


def retries_admitted(seed: int) -> list[bool]:
    """For each retry after `retry_after_ms`, whether it was admitted."""
    machine = Machine(costs_of())
    rng, admitted = random.Random(seed), list[bool]()

    def arrive(again: bool) -> None:
        refused = len(machine.full)
        machine.add_speech(round(rng.uniform(8, 15) * 1000 / FRAME_MS), may_queue=False)
        if again:
            admitted.append(len(machine.full) == refused)
        elif len(machine.full) > refused:
            machine.at(machine.now_ms + machine.full[-1], lambda: arrive(again=True))

    for number in range(100):
        machine.at(250.0 * number, lambda: arrive(again=False))
    machine.run_until(30_000)
    return admitted


def test_steady_state_has_full_batches_and_about_one_a_frame() -> None:
    machine = settled(30)
    start_ms = machine.now_ms
    machine.run_until(start_ms + 4000)
    rows = [len(batch.rows) for _, batch in machine.steps if not batch.positions]
    assert sum(rows) / len(rows) > 20
    assert len(rows) < 1.5 * 4000 / FRAME_MS


def test_engine_stall_of_a_third_of_a_second_causes_no_underrun() -> None:
    """About as long as encoding a voice takes."""
    machine = settled(30)
    for number in range(5):
        machine.at(machine.now_ms + 1500.0 * number, lambda: machine.stall(330))
    machine.run_until(machine.now_ms + 9000)
    assert sum(each.stalls for each in machine.all_listeners) == 0


def test_burst_of_twenty_is_started_one_by_one_without_underruns() -> None:
    machine = settled(20)
    before = list(machine.all_listeners)
    arrived = [machine.add_speech(100) for _ in range(20)]
    machine.run_until(machine.now_ms + 4000)
    assert sum(each.stalls for each in before) == 0
    assert sum(each.stalls for each in arrived) == 0
    waits = waits_ms(arrived)
    assert len(waits) == 20
    assert waits[0] < 120
    assert waits[-1] < 1500


def test_overload_is_shared_fairly_and_first_audio_still_comes() -> None:
    machine = settled(60)
    before = list(machine.all_listeners)
    started_ms = {each: each.underrun_ms for each in before}
    arrived = arrivals(machine, 1.0, (machine.now_ms + 8000) / 1000)
    machine.run_until(machine.now_ms + 10_000)
    underruns_ms = sorted(each.underrun_ms - started_ms[each] for each in before)
    assert underruns_ms[0] > 0.3 * underruns_ms[-1], "no listener is starved"
    assert len(waits_ms(arrived)) == len(arrived)
    assert max(waits_ms(arrived)) < 1500


def test_pauses_keep_order_and_length_under_load_and_take_no_steps() -> None:
    machine, rng = Machine(costs_of()), random.Random(2)
    talks: list[tuple[Listener, list[bool]]] = []

    def arrive() -> None:
        lengths = [(rng.random() < 0.5, rng.randrange(1, 40)) for _ in range(8)]
        parts = [Silence(frames) if silent else Segment("", (0,) * 40, frames, 0) for silent, frames in lengths]
        talks.append((machine.add_parts(parts), [silent for silent, frames in lengths for _ in range(frames)]))

    for number in range(25):
        machine.at(200.0 * number, arrive)
    machine.run_until(40_000)
    assert all(listener.silent == expected and listener.ended for listener, expected in talks)
    assert sum(listener.stalls for listener, _ in talks) == 0
    assert max(listener.max_lead_ms for listener, _ in talks) <= 1000 + FRAME_MS
    rows = sum(len(batch.rows) for _, batch in machine.steps)
    assert rows == sum(expected.count(False) for _, expected in talks)


def test_pause_starts_at_once_while_the_model_is_busy() -> None:
    machine = settled(30)
    quiet = machine.add_parts([Silence(30)])
    machine.run_until(machine.now_ms + 3000)
    assert quiet.waited_ms < 60
    assert (quiet.silent, quiet.stalls, quiet.ended) == ([True] * 30, 0, True)

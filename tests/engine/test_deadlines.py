"""All the books together on a simulated machine: nobody runs dry, who comes is soon heard, no step is wasted."""

import random

import pytest

from sayline_tts.engine.segment import Segment, Silence
from tests.engine.simulation import FRAME_MS, Listener, Machine, costs_of

ENDLESS = 10**5  # frames


def arrivals(machine: Machine, a_second: float, until_s: float, seed: int = 0) -> list[Listener]:
    """Poisson, texts of 8 to 15 s."""
    rng, came = random.Random(seed), list[Listener]()

    def come() -> None:
        came.append(machine.join(round(rng.uniform(8, 15) * 1000 / FRAME_MS)))

    now_s = rng.expovariate(a_second)
    while now_s < until_s:
        machine.at(1000 * now_s, come)
        now_s += rng.expovariate(a_second)
    return came


def settled(listeners: int, slowness: float = 1.0) -> Machine:
    """So many listeners who came one after the other, some seconds ago."""
    machine = Machine(costs_of(slowness), capacity=listeners + 100)
    for number in range(listeners):
        machine.at(100.0 * number, lambda: machine.join(ENDLESS))
    machine.run_until(100.0 * listeners + 3000)
    machine.steps.clear()
    return machine


def waits_ms(listeners: list[Listener]) -> list[float]:
    return sorted(each.waited_ms for each in listeners if each.frames)


def at(share: float, values: list[float]) -> float:
    return values[int(share * (len(values) - 1))]


@pytest.mark.parametrize("seed", range(3))
def test_at_80_percent_of_capacity_nobody_runs_dry_and_19_of_20_are_heard_within_100_ms(seed: int) -> None:
    machine = Machine(costs_of())
    came = arrivals(machine, 0.8 * machine.capacity / 11.5, 30, seed)
    machine.run_until(30_000)
    assert sum(each.stalls for each in came) == 0
    assert at(0.95, waits_ms(came)) < 100
    assert max(waits_ms(came)) < 250


def test_forty_listeners_are_supplied_while_others_come_and_go() -> None:
    machine = settled(40, slowness=0.8)
    came = arrivals(machine, 0.4, 40)
    machine.run_until(40_000)
    assert len(came) > 10
    assert sum(each.stalls for each in machine.everybody) == 0
    assert max(waits_ms(came)) < 150


def test_at_capacity_as_admission_sees_it_nobody_runs_dry() -> None:
    machine = Machine(costs_of(), capacity=None)
    came = arrivals(machine, 3 * machine.capacity / 11.5, 20)
    machine.run_until(30_000)
    assert machine.full, "three times as many came"
    assert sum(each.stalls for each in came) == 0
    assert all(100 <= each_ms <= 11_000 for each_ms in machine.full)


def test_who_comes_back_when_he_was_told_finds_room_more_often_than_not() -> None:
    rooms = [found for day in range(6) for found in rooms_found(day)]
    assert len(rooms) > 100
    assert sum(rooms) > len(rooms) / 2


def rooms_found(day: int) -> list[bool]:
    """Of those who were told to come again, and did: was there room?"""
    machine = Machine(costs_of())
    rng, rooms = random.Random(day), list[bool]()

    def come(again: bool) -> None:
        refused = len(machine.full)
        machine.join(round(rng.uniform(8, 15) * 1000 / FRAME_MS), waits=False)
        if again:
            rooms.append(len(machine.full) == refused)
        elif len(machine.full) > refused:
            machine.at(machine.now_ms + machine.full[-1], lambda: come(again=True))

    for number in range(100):
        machine.at(250.0 * number, lambda: come(again=False))
    machine.run_until(30_000)
    return rooms


def test_in_the_long_run_a_step_serves_everybody_and_there_is_one_in_each_frame() -> None:
    machine = settled(30)
    start_ms = machine.now_ms
    machine.run_until(start_ms + 4000)
    going = [len(batch.rows) for _, batch in machine.steps if not batch.positions]
    assert sum(going) / len(going) > 20
    assert len(going) < 1.5 * 4000 / FRAME_MS


def test_a_pause_of_a_third_of_a_second_is_not_heard() -> None:
    """As long as it takes to encode a voice."""
    machine = settled(30)
    for number in range(5):
        machine.at(machine.now_ms + 1500.0 * number, lambda: machine.stall(330))
    machine.run_until(machine.now_ms + 9000)
    assert sum(each.stalls for each in machine.everybody) == 0


def test_of_twenty_who_come_at_once_the_first_do_not_wait_for_the_last_and_nobody_else_notices() -> None:
    machine = settled(20)
    before = list(machine.everybody)
    came = [machine.join(100) for _ in range(20)]
    machine.run_until(machine.now_ms + 4000)
    assert sum(each.stalls for each in before) == 0
    assert sum(each.stalls for each in came) == 0
    waits = waits_ms(came)
    assert len(waits) == 20
    assert waits[0] < 120
    assert waits[-1] < 1500


def test_where_there_are_far_too_many_silence_is_shared_and_newcomers_are_still_heard() -> None:
    machine = settled(60)
    before = list(machine.everybody)
    started_ms = {each: each.dry_ms for each in before}
    came = arrivals(machine, 1.0, (machine.now_ms + 8000) / 1000)
    machine.run_until(machine.now_ms + 10_000)
    dry_ms = sorted(each.dry_ms - started_ms[each] for each in before)
    assert dry_ms[0] > 0.3 * dry_ms[-1], "nobody is left to himself"
    assert len(waits_ms(came)) == len(came)
    print(dry_ms[0], dry_ms[-1], waits_ms(came)[-3:])
    assert max(waits_ms(came)) < 1500


def test_pauses_come_at_the_listeners_pace_in_a_crowd_and_cost_nothing() -> None:
    """Every part is heard in its order and length, nobody runs dry, and no step is made for silence."""
    machine, rng = Machine(costs_of()), random.Random(2)
    talks: list[tuple[Listener, list[bool]]] = []

    def come() -> None:
        lengths = [(rng.random() < 0.5, rng.randrange(1, 40)) for _ in range(8)]
        parts = [Silence(frames) if silent else Segment("", (0,) * 40, frames, 0) for silent, frames in lengths]
        talks.append((machine.listen(parts), [silent for silent, frames in lengths for _ in range(frames)]))

    for number in range(25):
        machine.at(200.0 * number, come)
    machine.run_until(40_000)
    assert all(listener.silent == expected and listener.ended for listener, expected in talks)
    assert sum(listener.stalls for listener, _ in talks) == 0
    assert max(listener.most_ahead_ms for listener, _ in talks) <= 1000 + FRAME_MS
    rows = sum(len(batch.rows) for _, batch in machine.steps)
    assert rows == sum(expected.count(False) for _, expected in talks)


def test_who_has_nothing_but_a_pause_is_heard_at_once_even_while_others_keep_the_model_busy() -> None:
    machine = settled(30)
    quiet = machine.listen([Silence(30)])
    machine.run_until(machine.now_ms + 3000)
    assert quiet.waited_ms < 60
    assert (quiet.silent, quiet.stalls, quiet.ended) == ([True] * 30, 0, True)

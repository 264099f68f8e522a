"""A small fleet: the sums are right, and what dies is heard no more than the arithmetic allows."""

import json
from dataclasses import replace

import pytest

from sayline_tts.bench.fleet_simulation import Plan, Simulation, main

SMALL = Plan(listeners=400, engines=16, cells=2, fronts_per_cell=2, deaths_per_hour=0.0, seconds=20.0)


def run(plan: Plan) -> Simulation:
    simulation = Simulation(plan)
    simulation.run()
    return simulation


def test_listeners_are_served_evenly_and_at_once() -> None:
    simulation = run(SMALL)
    table = simulation.results.table()
    expected = SMALL.listeners * SMALL.seconds / (SMALL.speech_s + SMALL.pause_s)
    assert 0.7 * expected < table["utterances"] < 1.2 * expected
    assert table["waited in a front's queue"] == table["utterances that moved"] == table["underruns"] == 0
    speaking = [each.speaking for each in simulation.engines]
    assert sum(speaking) == sum(len(link.utterances) for each in simulation.engines for link in each.links)
    assert max(speaking) < 2 * sum(speaking) / len(speaking)
    assert 20 < table["first audio p50 ms"] <= table["first audio p95 ms"] < 200


def test_same_seed_gives_the_same_results() -> None:
    plan = replace(SMALL, deaths_per_hour=20.0, seconds=10.0)
    assert run(plan).results == run(plan).results
    assert run(replace(plan, seed=2)).results != run(plan).results


@pytest.mark.parametrize("silent", [0.0, 1.0])
def test_utterances_of_dead_engines_move_and_end(silent: float) -> None:
    simulation = run(replace(SMALL, deaths_per_hour=60.0, silent=silent, restart_s=5.0))
    table = simulation.results.table()
    assert table["engines that died"] > 0
    assert table["utterances that moved"] > table["engines that died"]
    assert table["until the next sample p50 ms"] > 200 * silent
    lost = [each for engine in simulation.engines for link in engine.links for each in link.utterances.values()]
    assert all(each.lost_ms is None for each in lost)


def test_full_fleet_has_its_listeners_wait() -> None:
    table = run(replace(SMALL, engines=4, seconds=10.0)).results.table()
    assert table["waited in a front's queue"] > 0
    assert table["first audio p95 ms"] > 1000


def test_program_prints_the_plan_and_the_table(capsys: pytest.CaptureFixture[str]) -> None:
    main(["--listeners", "40", "--engines", "4", "--cells", "1", "--fronts-per-cell", "1", "--seconds", "12"])
    printed = json.loads(capsys.readouterr().out)
    assert printed["plan"]["engines"] == 4
    assert printed["capacity of an engine"] > 10
    assert printed["utterances"] > 0

"""The capacity search: bisection, and what its probes report."""

import pytest

from sayline_tts.bench.load.capacity_search import CapacitySearch, confirm_most, find_most, step
from sayline_tts.bench.load.process import CpuMeter
from sayline_tts.bench.load.stream import Connect
from sayline_tts.bench.load.texts import Texts
from sayline_tts.bench.report.config import BenchConfig, Size
from tests.bench.fakes import connects_to, speaks, stumbles

TEXTS = Texts(((1, 0.08), (2, 0.16)), 0.08, 0.16)
CONFIG = BenchConfig(ttfa_target_ms=60_000, size=Size(seconds=0.2, runs=1, most_listeners=1))


def search(connect: Connect, lines: list[str]) -> CapacitySearch:
    return CapacitySearch(CONFIG, connect, CpuMeter(), TEXTS, lines.append)


async def test_result_contains_the_measurement_of_the_level_that_holds() -> None:
    lines: list[str] = []
    ramp = await search(connects_to(speaks), lines).run(1)
    assert ramp.listeners == ramp.most_supplied == 1
    assert ramp.best is not None
    assert ramp.best in ramp.probes
    assert lines[0].startswith("1 listeners, 0 s: holds")


async def test_result_has_no_measurement_if_no_level_holds() -> None:
    ramp = await search(connects_to(stumbles), []).run(1)
    assert (ramp.listeners, ramp.best, ramp.most_supplied) == (0, None, 0)
    assert [probe.listeners for probe in ramp.probes] == [1]


async def test_hold_measures_a_level_even_if_it_fails() -> None:
    ramp = await search(connects_to(stumbles), []).hold(2)
    assert ramp.listeners == 0
    assert ramp.best is not None
    assert ramp.best.listeners == 2


class Answers:
    """Holds up to `limit`; records its calls."""

    def __init__(self, limit: int) -> None:
        self.limit, self.calls = limit, list[int]()

    async def __call__(self, listeners: int) -> bool:
        self.calls.append(listeners)
        return listeners <= self.limit


@pytest.mark.parametrize("limit", [0, 1, 2, 7, 24, 40, 180, 256])
@pytest.mark.parametrize("guess", [1, 8, 40, 256])
async def test_bisection_converges_from_any_guess(limit: int, guess: int) -> None:
    answers = Answers(limit)
    found = await find_most(answers, guess, 256)
    assert limit - step(limit) <= found <= limit
    assert len(answers.calls) == len(set(answers.calls)) < 20
    assert all(1 <= listeners <= 256 for listeners in answers.calls)


@pytest.mark.parametrize(("limit", "guess"), [(0, 3), (1, 1), (5, 5), (6, 5), (4, 5), (40, 43), (256, 255), (9, 0)])
async def test_confirm_most_corrects_a_guess_step_by_step(limit: int, guess: int) -> None:
    answers = Answers(limit)
    found = await confirm_most(answers, guess, 256)
    assert found == (limit if guess else 0)
    assert len(answers.calls) <= abs(limit - guess) + 2

"""How many engines a load asks for."""

import pytest

from sayline_tts.server.cluster.report import EngineReport, State
from sayline_tts.server.cluster.scaler import IDLE_S, NEXT_IDLE_S, Scaler


def engines(*speaking: int, starting: int = 0, waiting: int = 0) -> list[EngineReport]:
    """Ready ones with a capacity of 10, and some that start."""
    ready = [
        EngineReport(f"e{number}", State.READY, "h", 1, speaking=each, waiting=waiting, capacity=10)
        for number, each in enumerate(speaking)
    ]
    return [*ready, *(EngineReport(f"s{number}", State.STARTING, "h") for number in range(starting))]


@pytest.mark.parametrize(("minimum", "maximum"), [(0, 1), (2, 1)])
def test_contradicting_bounds_are_refused(minimum: int, maximum: int) -> None:
    with pytest.raises(ValueError, match="engines"):
        Scaler(minimum, maximum)


def test_engines_are_added_at_once_when_less_than_the_reserve_is_free() -> None:
    assert Scaler(1, 10).wanted(engines(7), 0.0) == 1
    assert Scaler(1, 10).wanted(engines(8), 0.0) == 2
    assert Scaler(1, 10).wanted(engines(10, waiting=12), 0.0) == 4
    assert Scaler(1, 3).wanted(engines(10, waiting=12), 0.0) == 3


def test_engines_that_start_count() -> None:
    assert Scaler(1, 10).wanted(engines(10, starting=1), 0.0) == 2
    assert Scaler(1, 10).wanted(engines(starting=2), 0.0) == 2


def test_minimum_is_kept() -> None:
    assert Scaler(3, 10).wanted(engines(0, 0), 0.0) == 3
    assert Scaler(3, 10).wanted([], 0.0) == 3


def test_idle_engines_go_one_by_one() -> None:
    scaler, idle = Scaler(1, 10), engines(1, 1, 1)
    assert scaler.wanted(idle, 0.0) == 3
    assert scaler.wanted(idle, IDLE_S - 1) == 3
    assert scaler.wanted(idle, IDLE_S) == 2
    assert scaler.wanted(idle[:2], IDLE_S + 1) == 2
    assert scaler.wanted(idle[:2], IDLE_S + NEXT_IDLE_S) == 1


def test_load_in_between_starts_the_wait_anew() -> None:
    scaler, idle = Scaler(1, 10), engines(1, 1)
    scaler.wanted(idle, 0.0)
    assert scaler.wanted(engines(7, 7), IDLE_S / 2) == 2
    assert scaler.wanted(idle, IDLE_S) == 2
    assert scaler.wanted(idle, 2 * IDLE_S) == 1

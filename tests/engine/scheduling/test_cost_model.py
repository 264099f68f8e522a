"""engine/scheduling/cost_model.py: what a step will cost, and how many fit into a frame's time."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sayline_tts.engine.scheduling.cost_model import Costs, Curve


def line(base_ms: float, each_ms: float) -> Curve:
    return Curve([(1, base_ms + each_ms), (64, base_ms + 64 * each_ms)])


def measured(each_ms: float = 1.0) -> Costs:
    """A step of n rows takes 8 ms and as many times `each_ms`; segments begin for nothing."""
    return Costs(line(4.0, 0.2), Curve([(1, 0.0)]), Curve([(1, 2.0), (8, 12.0)]), line(8.0, each_ms))


def test_between_what_was_measured_lie_straight_lines() -> None:
    curve = Curve([(1, 10.0), (3, 14.0), (8, 15.0)])
    assert [curve(size) for size in (1, 2, 3, 8)] == [10, 12, 14, 15]


def test_beyond_it_nothing_becomes_cheaper_than_it_was() -> None:
    assert Curve([(1, 10.0), (8, 80.0), (16, 81.0)])(32) > 81 + 16 * 4
    assert Curve([(1, 10.0), (8, 11.0), (16, 51.0)])(17) == pytest.approx(56)
    assert Curve([(4, 7.0)])(400) == 7


@given(st.lists(st.floats(0.1, 100), min_size=1, max_size=6), st.integers(1, 200))
def test_more_rows_never_cost_less(costs_ms: list[float], size: int) -> None:
    curve = Curve([(4**at, cost_ms) for at, cost_ms in enumerate(sorted(costs_ms))])
    assert curve(size) <= curve(size + 1) + 1e-9


def test_real_steps_correct_it_and_one_that_was_disturbed_hardly_does() -> None:
    curve = Curve([(1, 10.0), (2, 20.0)])
    curve.saw(1, 1000.0)
    assert curve(1) < 12
    for _ in range(200):
        curve.saw(2, 30.0)
    assert curve(1) == pytest.approx(15, rel=0.01)


def test_capacity_is_what_leaves_a_tenth_of_a_frame() -> None:
    assert measured().capacity(80.0, 256) == 64
    assert measured(each_ms=4.0).capacity(80.0, 256) == 16
    assert measured().capacity(80.0, 20) == 20
    assert measured(each_ms=1000.0).capacity(80.0, 20) == 1, "one always may"


def test_capacity_falls_when_either_network_becomes_slower() -> None:
    for slower in ("flow", "group"):
        costs = measured()
        getattr(costs, slower).ratio = 2.0
        assert costs.capacity(80.0, 256) < 64


def test_steps_that_are_cheap_while_few_are_served_let_nobody_in() -> None:
    costs = measured()
    costs.flow.ratio = costs.group.ratio = 0.5
    assert costs.capacity(80.0, 256) == 64


def test_segments_that_begin_take_a_share() -> None:
    costs = measured()
    costs.join = Curve([(1, 40.0)])
    assert costs.capacity(80.0, 256) < 64


def test_before_anything_was_measured_there_is_a_guess_for_prefill_and_no_capacity() -> None:
    assert Costs().capacity(80.0, 33) == 33
    assert Costs().join(40) > Costs().join(10) > 0

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sayline_tts.engine.scheduling.cost_model import CostCurve, CostModel


def line(base_ms: float, each_ms: float) -> CostCurve:
    return CostCurve([(1, base_ms + each_ms), (64, base_ms + 64 * each_ms)])


def profiled(each_ms: float = 1.0) -> CostModel:
    """A step of n rows takes 8 ms + n * `each_ms`; prefill is free."""
    return CostModel(line(4.0, 0.2), CostCurve([(1, 0.0)]), CostCurve([(1, 2.0), (8, 12.0)]), line(8.0, each_ms))


def test_curve_interpolates_linearly_between_points() -> None:
    curve = CostCurve([(1, 10.0), (3, 14.0), (8, 15.0)])
    assert [curve(size) for size in (1, 2, 3, 8)] == [10, 12, 14, 15]


def test_extrapolation_uses_the_steeper_of_last_and_mean_slope() -> None:
    assert CostCurve([(1, 10.0), (8, 80.0), (16, 81.0)])(32) > 81 + 16 * 4
    assert CostCurve([(1, 10.0), (8, 11.0), (16, 51.0)])(17) == pytest.approx(56)
    assert CostCurve([(4, 7.0)])(400) == 7


@given(st.lists(st.floats(0.1, 100), min_size=1, max_size=6), st.integers(1, 200))
def test_curve_never_decreases(costs_ms: list[float], size: int) -> None:
    curve = CostCurve([(4**index, cost_ms) for index, cost_ms in enumerate(sorted(costs_ms))])
    assert curve(size) <= curve(size + 1) + 1e-9


def test_observed_steps_correct_the_curve_and_an_outlier_hardly_does() -> None:
    curve = CostCurve([(1, 10.0), (2, 20.0)])
    curve.observe(1, 1000.0)
    assert curve(1) < 12
    for _ in range(200):
        curve.observe(2, 30.0)
    assert curve(1) == pytest.approx(15, rel=0.01)


def test_capacity_leaves_a_tenth_of_a_frame() -> None:
    assert profiled().capacity(80.0, 256) == 64
    assert profiled(each_ms=4.0).capacity(80.0, 256) == 16
    assert profiled().capacity(80.0, 20) == 20
    assert profiled(each_ms=1000.0).capacity(80.0, 20) == 1, "one utterance is always admitted"


def test_capacity_falls_when_either_network_becomes_slower() -> None:
    for slower in ("flow_lm", "codec"):
        costs = profiled()
        getattr(costs, slower).correction = 2.0
        assert costs.capacity(80.0, 256) < 64


def test_capacity_does_not_rise_when_steps_become_cheaper() -> None:
    costs = profiled()
    costs.flow_lm.correction = costs.codec.correction = 0.5
    assert costs.capacity(80.0, 256) == 64


def test_capacity_accounts_for_prefill() -> None:
    costs = profiled()
    costs.prefill = CostCurve([(1, 40.0)])
    assert costs.capacity(80.0, 256) < 64


def test_default_model_has_prefill_costs_but_limits_no_capacity() -> None:
    assert CostModel().capacity(80.0, 33) == 33
    assert CostModel().prefill(40) > CostModel().prefill(10) > 0


def test_delivery_and_processors_limit_the_capacity() -> None:
    costs = profiled(each_ms=1.0)
    assert costs.capacity(80.0, 256) == 64, "a step of 64 rows takes nine tenths of a frame"
    costs.cpus = 2.0
    by_two = costs.capacity(80.0, 256)
    costs.cpus = 0.5
    assert costs.capacity(80.0, 256) < by_two <= 64, "half a processor, by a quota"
    costs.cpus = 2.0
    for _ in range(50):
        costs.observe_delivery(100, 200.0)
    assert costs.delivery_ms == pytest.approx(2.0, rel=1e-3)
    assert costs.capacity(80.0, 256) < by_two / 1.5, "sockets and messages take two more ms a frame"

import pytest

from sayline_tts.bench.report.stats import Quantiles, Spread, percentile


@pytest.mark.parametrize(("percent", "value"), [(0, 1), (50, 5), (95, 10), (99, 10), (1, 1), (90, 9)])
def test_percentile_is_one_of_the_values(percent: float, value: float) -> None:
    assert percentile([10, 2, 3, 4, 5, 6, 7, 8, 9, 1], percent) == value


def test_percentile_of_no_values_is_none() -> None:
    assert percentile([], 50) is None
    assert Quantiles.of([]) is None
    assert Spread.of([None]) is None


def test_runs_without_a_value_are_ignored() -> None:
    assert Spread.of([3.0, None, 1.0, 8.0]) == Spread(median=3.0, least=1.0, most=8.0, runs=3)

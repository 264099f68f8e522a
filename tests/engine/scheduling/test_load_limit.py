"""The limit falls while listeners' buffers shrink, and recovers."""

import math

from sayline_tts.engine.scheduling.load_limit import CUT_S, LoadLimit, Supply


def test_no_limit_before_the_machine_was_behind() -> None:
    limit = LoadLimit()
    for tick in range(20):
        limit.observe(tick / 4, 50, Supply.GOOD if tick % 2 else Supply.TIGHT, 100)
    assert limit.ceiling == math.inf


def test_limit_falls_below_the_load_at_once_and_further_while_it_lasts() -> None:
    limit = LoadLimit()
    limit.observe(10.0, 50, Supply.BEHIND, 100)
    assert limit.ceiling == 45
    limit.observe(10.25, 49, Supply.BEHIND, 100)
    assert limit.ceiling == 45, "the last cut has had no time to help"
    limit.observe(10.0 + CUT_S, 48, Supply.BEHIND, 100)
    assert 40 < limit.ceiling < 41
    for tick in range(1, 100):
        limit.observe(12.0 + tick, 0, Supply.BEHIND, 100)
    assert limit.ceiling == 1, "somebody is always served"


def test_limit_recovers_slowly_and_not_while_buffers_are_tight() -> None:
    limit = LoadLimit()
    limit.observe(0.0, 50, Supply.BEHIND, 100)
    limit.observe(5.0, 45, Supply.TIGHT, 100)
    assert limit.ceiling == 45
    limit.observe(6.0, 40, Supply.GOOD, 100)
    limit.observe(6.25, 40, Supply.GOOD, 100)
    assert 45 < limit.ceiling < 47
    for tick in range(60):
        limit.observe(7.0 + tick, 40, Supply.GOOD, 100)
    assert limit.ceiling == math.inf, "back at what the costs predict, there is nothing to limit"

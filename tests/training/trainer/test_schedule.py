"""Learning rate schedule and weight averaging."""

import pytest
import torch
from torch import nn

from training.trainer.schedule import MIN_RATE_RATIO, WARMUP_STEPS, set_learning_rate
from training.trainer.weight_averaging import AveragedWeights


def rate(step: int, steps: int = 10_000) -> float:
    optimizer = torch.optim.SGD([torch.zeros(1)])
    set_learning_rate(optimizer, 2.0, step, steps)
    return float(optimizer.param_groups[0]["lr"])


def test_learning_rate_warms_up_stays_and_decays() -> None:
    assert rate(WARMUP_STEPS // 2 - 1) == 1.0
    assert rate(WARMUP_STEPS) == rate(7999) == 2.0
    assert rate(9000) == pytest.approx(1.0)
    assert rate(9999) == 2.0 * MIN_RATE_RATIO


def test_extended_run_delays_the_decay() -> None:
    assert rate(9999, 50_000) == 2.0


def test_weight_average_follows_slowly() -> None:
    layer = nn.Linear(1, 1, bias=False)
    average = AveragedWeights(layer, nn.Linear(1, 1, bias=False))
    before = layer.weight.item()
    with torch.no_grad():
        layer.weight += 1
    average.update(layer, 1_000_000)
    assert average.network.weight.item() == pytest.approx(before + 0.001, abs=1e-5)

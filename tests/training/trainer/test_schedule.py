"""training/trainer/schedule.py, average.py, files.py: the small things that every training stands on."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from training.data.files import write_array, write_arrays, write_whole, write_with
from training.trainer.schedule import LEAST_SHARE, WARM_UP_STEPS, set_rate
from training.trainer.weight_averaging import Average


def rate(step: int, steps: int = 10_000) -> float:
    optimizer = torch.optim.SGD([torch.zeros(1)])
    set_rate(optimizer, 2.0, step, steps)
    return float(optimizer.param_groups[0]["lr"])


def test_the_rate_rises_stays_and_falls() -> None:
    assert rate(WARM_UP_STEPS // 2 - 1) == 1.0
    assert rate(WARM_UP_STEPS) == rate(7999) == 2.0
    assert rate(9000) == pytest.approx(1.0)
    assert rate(9999) == 2.0 * LEAST_SHARE


def test_a_longer_run_does_not_fall_yet() -> None:
    assert rate(9999, 50_000) == 2.0


def test_the_average_follows_slowly() -> None:
    layer = nn.Linear(1, 1, bias=False)
    average = Average(layer, nn.Linear(1, 1, bias=False))
    before = layer.weight.item()
    with torch.no_grad():
        layer.weight += 1
    average.update(layer, 1_000_000)
    assert average.network.weight.item() == pytest.approx(before + 0.001, abs=1e-5)


def test_a_file_that_fails_on_the_way_leaves_the_old_one(tmp_path: Path) -> None:
    write_whole(tmp_path / "a", b"old")
    with pytest.raises(ZeroDivisionError):
        write_with(tmp_path / "a", lambda file: file.write(b"half") // 0)
    assert (tmp_path / "a").read_bytes() == b"old"


def test_arrays_come_back(tmp_path: Path) -> None:
    write_array(tmp_path / "a.npy", np.arange(3))
    write_arrays(tmp_path / "b.npz", {"x": np.arange(2)})
    assert np.load(tmp_path / "a.npy").tolist() == [0, 1, 2]
    assert np.load(tmp_path / "b.npz")["x"].tolist() == [0, 1]

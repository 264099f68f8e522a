"""Atomic writes of arrays."""

from pathlib import Path

import numpy as np

from training.data.arrays import save_array, save_arrays


def test_arrays_are_read_back(tmp_path: Path) -> None:
    save_array(tmp_path / "a.npy", np.arange(3))
    save_arrays(tmp_path / "b.npz", {"x": np.arange(2)})
    assert np.load(tmp_path / "a.npy").tolist() == [0, 1, 2]
    assert np.load(tmp_path / "b.npz")["x"].tolist() == [0, 1]

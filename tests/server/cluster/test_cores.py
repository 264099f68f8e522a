"""Cores of their own."""

from pathlib import Path

from sayline_tts.server.cluster.cores import CoreLocks


def test_each_has_cores_of_its_own_until_it_ends(tmp_path: Path) -> None:
    folder = tmp_path / "cores"
    first, second = CoreLocks(2, [0, 1, 2, 3], folder), CoreLocks(1, [0, 1, 2, 3], folder)
    assert (first.cores, second.cores) == ((0, 1), (2,))
    first.close()
    assert CoreLocks(2, [0, 1, 2, 3], folder).cores == (0, 1)
    second.close()


def test_too_few_cores_are_none_and_stay_free(tmp_path: Path) -> None:
    folder = tmp_path / "cores"
    assert CoreLocks(3, [5, 6], folder).cores == ()
    assert CoreLocks(2, [5, 6], folder).cores == (5, 6)

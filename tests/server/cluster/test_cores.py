"""Cores of their own."""

from pathlib import Path

import pytest

from sayline_tts.engine.errors import InputError
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


def test_folder_that_somebody_else_has_put_there_is_refused(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "cores").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(InputError, match="is not this user's own; remove it"):
        CoreLocks(1, (0, 1), tmp_path / "cores")
    assert not list((tmp_path / "elsewhere").iterdir())

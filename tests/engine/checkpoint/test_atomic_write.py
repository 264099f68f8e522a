import os
import stat
from pathlib import Path

import pytest

from sayline_tts.engine.checkpoint.atomic_write import write_whole


def test_a_file_is_written_and_replaced(tmp_path: Path) -> None:
    for data in (b"one", b"two"):
        write_whole(tmp_path / "file", data)
        assert (tmp_path / "file").read_bytes() == data
    assert os.listdir(tmp_path) == ["file"]


@pytest.mark.parametrize("mode", [0o644, 0o600])
def test_its_rights_are_as_asked(tmp_path: Path, mode: int) -> None:
    write_whole(tmp_path / "file", b"", mode)
    assert stat.S_IMODE((tmp_path / "file").stat().st_mode) == mode


def test_it_belongs_to_whom_it_shall(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    given: list[tuple[int, int]] = []
    monkeypatch.setattr(os, "chown", lambda _, *owner: given.append(owner))
    write_whole(tmp_path / "file", b"", owner=(5, 6))
    assert given == [(5, 6)]


@pytest.mark.parametrize("step", ["fsync", "replace"])
def test_what_cannot_be_finished_leaves_the_old_file_and_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    (tmp_path / "file").write_bytes(b"old")

    def fail(*_: object) -> None:
        raise OSError("the disk is full")

    monkeypatch.setattr(os, step, fail)
    with pytest.raises(OSError, match="full"):
        write_whole(tmp_path / "file", b"new")
    assert os.listdir(tmp_path) == ["file"]
    assert (tmp_path / "file").read_bytes() == b"old"

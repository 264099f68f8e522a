import os
import stat
from pathlib import Path

import pytest

from sayline_tts.engine.checkpoint.atomic_write import atomic_file, atomic_write


def test_file_is_created_and_replaced(tmp_path: Path) -> None:
    for data in (b"one", b"two"):
        atomic_write(tmp_path / "file", data)
        assert (tmp_path / "file").read_bytes() == data
    assert os.listdir(tmp_path) == ["file"]


@pytest.mark.parametrize("mode", [0o644, 0o600])
def test_mode_is_set(tmp_path: Path, mode: int) -> None:
    atomic_write(tmp_path / "file", b"", mode)
    assert stat.S_IMODE((tmp_path / "file").stat().st_mode) == mode


def test_owner_is_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    owners: list[tuple[int, int]] = []
    monkeypatch.setattr(os, "chown", lambda _, *owner: owners.append(owner))
    atomic_write(tmp_path / "file", b"", owner=(5, 6))
    assert owners == [(5, 6)]


@pytest.mark.parametrize("step", ["fsync", "replace"])
def test_failed_write_keeps_the_old_file_and_removes_the_temporary_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    (tmp_path / "file").write_bytes(b"old")

    def fail(*_: object) -> None:
        raise OSError("the disk is full")

    monkeypatch.setattr(os, step, fail)
    with pytest.raises(OSError, match="full"):
        atomic_write(tmp_path / "file", b"new")
    assert os.listdir(tmp_path) == ["file"]
    assert (tmp_path / "file").read_bytes() == b"old"


def test_exception_while_writing_keeps_the_old_file(tmp_path: Path) -> None:
    atomic_write(tmp_path / "file", b"old")

    def write_half() -> None:
        with atomic_file(tmp_path / "file") as file:
            file.write(b"half")
            raise RuntimeError("interrupted")

    with pytest.raises(RuntimeError, match="interrupted"):
        write_half()
    assert os.listdir(tmp_path) == ["file"]
    assert (tmp_path / "file").read_bytes() == b"old"

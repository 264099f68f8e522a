"""`sayline data`: export, import and check."""

from pathlib import Path

import pytest

from sayline_tts.server.access.keys import KeyFile
from sayline_tts.server.access.limits import Limits
from tests.server.commands.conftest import Sayline, usage_error


@pytest.fixture
def data(tmp_path: Path) -> Path:
    KeyFile(tmp_path / "data" / "keys.json").add("ann", Limits())
    return tmp_path / "data"


def test_data_is_moved(sayline: Sayline, data: Path, tmp_path: Path) -> None:
    done = sayline("data", "export", tmp_path / "backup.tar.gz", "--data", data)
    assert (done.exit_code, "Exported 1 files" in done.stderr) == (0, True)
    done = sayline("data", "import", tmp_path / "backup.tar.gz", env={"SAYLINE_DATA": str(tmp_path / "other")})
    assert (done.exit_code, "Imported 1 files" in done.stderr) == (0, True)
    done = sayline("data", "check", "--data", tmp_path / "other")
    assert (done.exit_code, "all intact" in done.stderr) == (0, True)


def test_damage_sets_the_exit_code(sayline: Sayline, data: Path) -> None:
    (data / "keys.json").write_text("{")
    done = sayline("data", "check", "--data", data)
    assert (done.exit_code, "keys.json is not a valid key file" in done.stdout) == (1, True)


def test_faults_are_one_line(sayline: Sayline, data: Path, tmp_path: Path) -> None:
    assert "cannot read" in usage_error(sayline("data", "import", tmp_path / "none", "--data", tmp_path / "other"))
    assert "cannot write" in usage_error(sayline("data", "export", tmp_path / "no" / "x.tar.gz", "--data", data))
    (tmp_path / "file").touch()
    (tmp_path / "good.tar.gz").touch()
    assert "cannot write" in usage_error(
        sayline("data", "import", tmp_path / "good.tar.gz", "--data", tmp_path / "file" / "x")
    )

"""The systemd unit: what systemd itself says of it, and that it runs what `make run` runs."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from sayline_tts.server.settings import Settings
from sayline_tts.server.settings_table import settings

ROOT = Path(__file__).parents[2]
UNIT = ROOT / "deploy" / "sayline.service"
TEXT = UNIT.read_text("utf-8")
LINES = dict(line.split("=", 1) for line in TEXT.splitlines() if re.match(r"[A-Z]\w+=", line))


def test_systemd_finds_nothing_wrong(tmp_path: Path) -> None:
    if shutil.which("systemd-analyze") is None:
        pytest.skip("systemd-analyze is not installed")
    unit = tmp_path / UNIT.name
    # It looks whether the program, the user and the documentation are there, which here they are not.
    text = TEXT.replace("/opt/sayline/.venv/bin/sayline serve", sys.executable).replace("User=sayline", "User=root")
    unit.write_text(re.sub("(?m)^Documentation=.*\n", "", text))
    command = ["systemd-analyze", "verify", "--man=no", "--recursive-errors=no", str(unit)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout + done.stderr) == (0, "")


def test_it_runs_what_make_run_runs() -> None:
    assert LINES["ExecStart"] == f"{LINES['WorkingDirectory']}/.venv/bin/sayline serve"
    assert "make .venv/ready" in TEXT


def test_it_is_nobody_s_root_and_is_given_the_time_to_end() -> None:
    assert LINES["User"] not in ("", "root", "0")
    assert LINES["NoNewPrivileges"] == "yes"
    assert float(LINES["TimeoutStopSec"]) > Settings().drain_s + 10


def test_what_is_written_lies_where_it_may_write() -> None:
    places = dict(re.findall(r"(?m)^Environment=(\w+)=(/\S+)$", TEXT))
    assert places["SAYLINE_DATA"] == f"/var/lib/{LINES['StateDirectory']}"
    assert places["XDG_CACHE_HOME"] == f"/var/cache/{LINES['CacheDirectory']}"
    assert places["HF_HOME"].startswith(places["XDG_CACHE_HOME"])


def test_torch_may_compile() -> None:
    assert "MemoryDenyWriteExecute" not in LINES


def test_every_variable_is_a_setting() -> None:
    known = {name for setting in settings() for name in setting.variables}
    assert set(re.findall(r"SAYLINE_[A-Z_]+", TEXT)) <= known

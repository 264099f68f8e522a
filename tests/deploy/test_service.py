"""The systemd unit: verified, hardened, and started like `make run`."""

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


def test_systemd_analyze_passes(tmp_path: Path) -> None:
    if shutil.which("systemd-analyze") is None:
        pytest.skip("systemd-analyze is not installed")
    unit = tmp_path / UNIT.name
    # systemd-analyze checks that program, user and documentation exist, which they do not here.
    text = TEXT.replace("/opt/sayline/.venv/bin/sayline serve", sys.executable).replace("User=sayline", "User=root")
    unit.write_text(re.sub("(?m)^Documentation=.*\n", "", text))
    command = ["systemd-analyze", "verify", "--man=no", "--recursive-errors=no", str(unit)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout + done.stderr) == (0, "")


def test_unit_starts_the_server_like_make_run() -> None:
    assert LINES["ExecStart"] == f"{LINES['WorkingDirectory']}/.venv/bin/sayline serve"
    assert "make .venv/ready" in TEXT


def test_unit_is_unprivileged_and_has_time_to_drain() -> None:
    assert LINES["User"] not in ("", "root", "0")
    assert LINES["NoNewPrivileges"] == "yes"
    assert float(LINES["TimeoutStopSec"]) > Settings().drain_s + 10


def test_unit_waits_for_notifications() -> None:
    assert LINES["Type"] == "notify"
    assert float(LINES["WatchdogSec"]) > 0
    assert LINES["Restart"] == "on-failure"
    assert "AF_UNIX" in LINES["RestrictAddressFamilies"]  # of the notification socket


def test_descriptors_suffice_for_all_sessions() -> None:
    """Each may be resumed over a second connection while the first one hangs."""
    assert int(LINES["LimitNOFILE"]) > 4 * Settings().max_sessions


def test_written_folders_are_in_writable_directories() -> None:
    places = dict(re.findall(r"(?m)^Environment=(\w+)=(/\S+)$", TEXT))
    assert places["SAYLINE_DATA"] == f"/var/lib/{LINES['StateDirectory']}"
    assert places["XDG_CACHE_HOME"] == f"/var/cache/{LINES['CacheDirectory']}"
    assert places["HF_HOME"].startswith(places["XDG_CACHE_HOME"])


def test_memory_may_be_made_executable() -> None:
    assert "MemoryDenyWriteExecute" not in LINES


def test_variables_are_settings() -> None:
    known = {name for setting in settings() for name in setting.variables}
    assert set(re.findall(r"SAYLINE_[A-Z_]+", TEXT)) <= known

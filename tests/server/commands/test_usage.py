"""`sayline usage`: the totals in the data folder."""

import json
import re
from pathlib import Path

import pytest

from sayline_tts.server.accounting.ledger import Totals, UsageFile
from tests.server.commands.conftest import Sayline, usage_error


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> UsageFile:
    monkeypatch.setenv("COLUMNS", "200")
    file = UsageFile(tmp_path / "kept" / "usage.json")
    totals = Totals(utterances=2, taken_chars=30, billed_chars=20, generated_ms=4500, heard_ms=1000, retries=1)
    file.add({("ann", "2026-10"): totals, ("ann", "2026-11"): totals + totals, ("bob", "2026-11"): totals})
    return file


def test_usage_is_listed_by_key_and_month(sayline: Sayline, file: UsageFile) -> None:
    listed = sayline("usage", "--data", file.path.parent).stdout
    assert re.search(r"ann +2026-10 +2 +30 +20 +4\.5 +1\.0 +0\.0 +1", listed)
    assert re.search(r"bob +2026-11 +2 +30", listed)


def test_usage_can_be_limited_to_a_key_and_a_month(sayline: Sayline, file: UsageFile) -> None:
    done = sayline("usage", "ann", "--month", "2026-11", "--json", "--data", file.path.parent)
    (row,) = json.loads(done.stdout)["usage"]
    assert (row["key"], row["month"], row["totals"]["taken_chars"]) == ("ann", "2026-11", 60)


def test_no_usage_is_said(sayline: Sayline, tmp_path: Path) -> None:
    done = sayline("usage", "--data", tmp_path / "none")
    assert (done.exit_code, done.stdout) == (0, "")
    assert "No usage" in done.stderr


def test_damaged_file_is_one_line(sayline: Sayline, file: UsageFile) -> None:
    file.path.write_text("{")
    assert "not a valid usage file" in usage_error(sayline("usage", "--data", file.path.parent))

"""Totals by key and month, and their file."""

import asyncio
import json
import logging
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from sayline_tts.server.accounting import ledger as ledger_module
from sayline_tts.server.accounting.ledger import Ledger, LedgerError, Row, Totals, UsageFile
from sayline_tts.server.accounting.usage import Usage

ONE = Usage(taken_chars=10, billed_chars=8, generated_ms=1000.0, heard_ms=400.0, queued_ms=20.0, retries=1)
SUM = Totals(
    utterances=1, taken_chars=10, billed_chars=8, generated_ms=1000.0, heard_ms=400.0, queued_ms=20.0, retries=1
)
NOVEMBER = datetime(2026, 11, 30, 23, 59, tzinfo=UTC)


def at(moment: datetime) -> Callable[[], datetime]:
    return lambda: moment


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(30):
        while not condition():  # noqa: ASYNC110 - a thread and a timer of the ledger's own have no event for tests
            await asyncio.sleep(0)


@pytest.fixture
def file(tmp_path: Path) -> UsageFile:
    return UsageFile(tmp_path / "deep" / "usage.json")


def test_usage_adds_up_by_key_and_month() -> None:
    moment = NOVEMBER
    ledger = Ledger(now=lambda: moment)
    ledger.add("ann", ONE)
    ledger.add("ann", ONE)
    ledger.add("bob", ONE)
    moment = datetime(2026, 12, 1, tzinfo=UTC)
    ledger.add("ann", ONE)
    assert ledger.rows() == [Row("ann", "2026-11", SUM + SUM), Row("ann", "2026-12", SUM), Row("bob", "2026-11", SUM)]
    assert ledger.rows("bob") == [Row("bob", "2026-11", SUM)]
    assert ledger.rows("eve") == []


async def test_totals_survive_a_restart(file: UsageFile) -> None:
    for count in (1, 2):
        ledger = Ledger(file, at(NOVEMBER))
        ledger.add("ann", ONE)
        assert ledger.rows("ann")[0].totals.utterances == count
        await ledger.close()
    assert Ledger(file).rows() == [Row("ann", "2026-11", SUM + SUM)]
    assert file.path.stat().st_mode & 0o777 == 0o600


async def test_servers_on_one_folder_add_up(file: UsageFile) -> None:
    one, other = Ledger(file, at(NOVEMBER)), Ledger(file, at(NOVEMBER))
    one.add("ann", ONE)
    other.add("ann", ONE)
    await one.close()
    await other.close()
    assert file.read()["ann", "2026-11"] == SUM + SUM
    assert other.rows()[0].totals.utterances == 2


async def test_usage_is_saved_soon_without_being_closed(file: UsageFile, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ledger_module, "SAVE_DELAY_S", 0.0)
    ledger = Ledger(file, at(NOVEMBER))
    ledger.add("ann", ONE)
    ledger.add("ann", ONE)
    await until(lambda: ledger._saving is not None)
    ledger.add("bob", ONE)  # while the others are being written
    assert [row.totals.utterances for row in ledger.rows()] == [2, 1]
    await until(lambda: len(file.read()) == 2)
    await ledger.close()
    assert [row.totals.utterances for row in Ledger(file).rows()] == [2, 1]


async def test_closing_waits_for_a_save_that_runs(file: UsageFile, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ledger_module, "SAVE_DELAY_S", 0.0)
    ledger = Ledger(file, at(NOVEMBER))
    ledger.add("ann", ONE)
    await until(lambda: ledger._saving is not None)
    await ledger.close()
    assert file.read() == {("ann", "2026-11"): SUM}


async def test_nothing_is_written_without_usage(file: UsageFile) -> None:
    await Ledger(file).close()
    assert not file.path.parent.exists()


@pytest.mark.parametrize("content", ["", "{", '{"version":2,"usage":[]}', '{"version":1,"usage":[{"key":"a"}]}'])
async def test_damaged_file_is_kept_and_usage_stays_in_memory(
    file: UsageFile, content: str, caplog: pytest.LogCaptureFixture
) -> None:
    file.path.parent.mkdir()
    file.path.write_text(content)
    ledger = Ledger(file, at(NOVEMBER))
    ledger.add("ann", ONE)
    await ledger.close()
    ledger.add("ann", ONE)
    await ledger.close()
    assert file.path.read_text() == content
    assert ledger.rows() == [Row("ann", "2026-11", SUM + SUM)]
    (record,) = caplog.records  # once, not at each attempt
    assert (record.levelno, "repair it" in record.getMessage()) == (logging.ERROR, True)
    file.path.unlink()
    await ledger.close()
    assert file.read() == {("ann", "2026-11"): SUM + SUM}


def test_path_that_is_no_file_is_reported(tmp_path: Path) -> None:
    with pytest.raises(LedgerError, match="cannot read"):
        UsageFile(tmp_path).read()
    (tmp_path / "file").touch()
    with pytest.raises(LedgerError, match="cannot write"):
        UsageFile(tmp_path / "file" / "usage.json").add({})


def test_file_is_readable_by_people(file: UsageFile) -> None:
    file.add({("ann", "2026-11"): SUM})
    content = json.loads(file.path.read_text())
    assert content["version"] == 1
    assert content["usage"][0]["totals"]["taken_chars"] == 10

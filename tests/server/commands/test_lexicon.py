"""`sayline lexicon`: add, list, remove, import and export."""

from pathlib import Path

import pytest

from sayline_tts.engine.text.lexicon import Entry
from sayline_tts.server.lexicons.store import LexiconStore
from tests.server.commands.conftest import Sayline, usage_error


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> LexiconStore:
    monkeypatch.setenv("SAYLINE_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("COLUMNS", "200")
    return LexiconStore(tmp_path / "data" / "lexicons")


def entries(store: LexiconStore, name: str = "default", owner: str = "anonymous") -> tuple[Entry, ...] | None:
    stored = store.get(name, owner)
    return stored.entries if stored else None


def test_entries_are_added_and_replaced(sayline: Sayline, store: LexiconStore) -> None:
    assert sayline("lexicon", "add", "Nguyen", "new").exit_code == 0
    assert "lexicon default has 1 entries" in sayline("lexicon", "add", "nguyen", "win").stderr
    options = "--match-case --language en-GB --voice clara --lexicon names --key phone"
    assert sayline("lexicon", "add", "US", "you ess", *options.split()).exit_code == 0
    assert entries(store) == (Entry("nguyen", "win"),)
    assert entries(store, "names", "phone") == (Entry("US", "you ess", True, "en", "clara"),)


def test_list_shows_lexicons_or_entries(sayline: Sayline, store: LexiconStore) -> None:
    assert "No lexicons" in sayline("lexicon", "list").stderr
    store.add("default", "anonymous", [Entry("US", "you ess", True, "en")])
    store.add("names", "phone", [Entry("Nguyen", "win")])
    lines = [line.split() for line in sayline("lexicon", "list").stdout.splitlines()]
    assert lines[-2:] == [["default", "1"], ["names", "phone", "1"]] or ["names", "phone", "1"] in lines
    shown = sayline("lexicon", "list", "--lexicon", "default").stdout
    assert "US" in shown
    assert "as written" in shown
    assert "'nope' of key x" in usage_error(sayline("lexicon", "list", "--lexicon", "nope", "--key", "x"))


def test_entries_and_lexicons_are_removed(sayline: Sayline, store: LexiconStore) -> None:
    store.add("default", "anonymous", [Entry("Nguyen", "win"), Entry("Nguyen", "wen", voice="v"), Entry("Byrne", "b")])
    assert "no entry for 'Smith'" in usage_error(sayline("lexicon", "remove", "Smith"))
    assert "Removed 2" in sayline("lexicon", "remove", "NGUYEN").stderr
    assert entries(store) == (Entry("Byrne", "b"),)
    assert sayline("lexicon", "remove", "Byrne").exit_code == 0
    assert entries(store) is None
    store.add("default", "anonymous", [Entry("Byrne", "b")])
    assert sayline("lexicon", "remove").exit_code == 0
    assert entries(store) is None
    assert "no lexicon 'default'" in usage_error(sayline("lexicon", "remove"))


def test_files_are_imported_and_exported(sayline: Sayline, store: LexiconStore, tmp_path: Path) -> None:
    (tmp_path / "names.csv").write_text("Nguyen,win\n")
    (tmp_path / "names.pls").write_text(
        "<lexicon><lexeme><grapheme>W3C</grapheme><alias>x</alias></lexeme><lexeme/></lexicon>"
    )
    assert sayline("lexicon", "import", "names.csv").exit_code == 0
    assert "Skipped 1 that have phonemes" in sayline("lexicon", "import", "names.pls").stderr
    assert sayline("lexicon", "import", "-", stdin=b"Byrne,burn").exit_code == 0
    assert entries(store) == (Entry("Nguyen", "win"), Entry("W3C", "x", True), Entry("Byrne", "burn"))
    assert sayline("lexicon", "export", "out.csv").exit_code == 0
    exported = sayline("lexicon", "export", "-").stdout
    assert exported == (tmp_path / "out.csv").read_text()
    assert exported.splitlines()[1:] == ["Nguyen,win,,,", "W3C,x,true,,", "Byrne,burn,,,"]


def test_files_that_cannot_be_used_are_errors(sayline: Sayline, store: LexiconStore) -> None:
    store.add("default", "anonymous", [Entry("Byrne", "b")])
    assert "cannot read nope.csv" in usage_error(sayline("lexicon", "import", "nope.csv"))
    assert "cannot write no/x.csv" in usage_error(sayline("lexicon", "export", "no/x.csv"))

"""Stored lexicons: whose they are, what changes them, and files of others."""

import os
from pathlib import Path

import pytest

from sayline_tts.engine.text.lexicon import Entry, LexiconError
from sayline_tts.server.access.limits import ANONYMOUS
from sayline_tts.server.lexicons import store as store_module
from sayline_tts.server.lexicons.store import (
    LexiconNameError,
    LexiconQuota,
    LexiconStore,
    LexiconStoreError,
    UnknownLexicon,
    file_name,
)

NGUYEN, BYRNE = Entry("Nguyen", "win"), Entry("Byrne", "burn")


@pytest.fixture
def store(tmp_path: Path) -> LexiconStore:
    return LexiconStore(tmp_path / "lexicons")


async def found(store: LexiconStore, names: list[str] | None, owner: str) -> list[tuple[Entry, ...]]:
    return [lexicon.entries for lexicon in await store.find(names, owner)]


async def test_own_lexicons_come_before_those_of_everybody(store: LexiconStore) -> None:
    store.put("names", ANONYMOUS, [NGUYEN])
    store.put("names", "ann", [BYRNE])
    store.put("names", "bob", [])
    assert await found(store, ["names"], "ann") == [(BYRNE,), (NGUYEN,)]
    assert await found(store, ["names", "names"], ANONYMOUS) == [(NGUYEN,)]
    assert [each.owner for each in store.visible("ann")] == ["ann", ANONYMOUS]
    assert [each.owner for each in store.all()] == ["ann", ANONYMOUS, "bob"]


async def test_default_holds_unless_lexicons_are_named(store: LexiconStore) -> None:
    assert await found(store, None, "ann") == []
    store.put("default", ANONYMOUS, [NGUYEN])
    store.put("names", "ann", [BYRNE])
    assert await found(store, None, "ann") == [(NGUYEN,)]
    assert await found(store, ["names"], "ann") == [(BYRNE,)]
    assert await found(store, [], "ann") == []


async def test_unknown_names_and_those_of_other_keys_are_refused(store: LexiconStore) -> None:
    store.put("names", "ann", [NGUYEN])
    with pytest.raises(UnknownLexicon, match="no lexicon 'names'"):
        await store.find(["names"], "bob")


async def test_a_lexicon_stays_the_same_object_until_it_changes(store: LexiconStore) -> None:
    store.put("names", "ann", [NGUYEN])
    before = await store.find(["names"], "ann")
    store.put("other", "ann", [NGUYEN])
    assert await store.find(["names"], "ann") == before
    store.put("names", "ann", [NGUYEN])
    assert await store.find(["names"], "ann") != before


async def test_changes_of_another_process_are_noticed(store: LexiconStore, tmp_path: Path) -> None:
    other = LexiconStore(tmp_path / "lexicons")
    other.add("names", "ann", [NGUYEN])
    assert await found(store, ["names"], "ann") == [(NGUYEN,)]
    other.add("names", "ann", [BYRNE])
    assert await found(store, ["names"], "ann") == [(NGUYEN, BYRNE)]
    other.delete("names", "ann")
    other.delete("names", "ann")
    assert store.get("names", "ann") is None


async def test_settled_folder_is_not_read_again(
    store: LexiconStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.put("names", "ann", [NGUYEN])
    os.utime(tmp_path / "lexicons", (1, 1))
    store.refresh()
    monkeypatch.setattr(store_module, "read_lexicon", None)
    assert store.get("names", "ann") is not None
    assert await found(store, ["names"], "ann") == [(NGUYEN,)]


def test_lexicons_survive_a_restart_but_damaged_ones_are_ignored(store: LexiconStore, tmp_path: Path) -> None:
    store.put("names", "ann", [NGUYEN])
    store.put("other", "ann", [NGUYEN])
    (tmp_path / "lexicons" / file_name("other", "ann")).write_text("{")
    (tmp_path / "lexicons" / "l-0000000000000000.json").write_text('{"name":"x","owner":"y","entries":[]}')
    (tmp_path / "lexicons" / file_name("bad", "ann")).write_text(
        '{"name":"bad","owner":"ann","entries":[{"written":"","said":"x"}]}'
    )
    assert [each.name for each in LexiconStore(tmp_path / "lexicons").all()] == ["names"]


def test_entries_of_a_key_are_limited(store: LexiconStore) -> None:
    store.put("names", "ann", [NGUYEN, BYRNE], max_entries=2)
    store.put("names", "bob", [NGUYEN], max_entries=2)
    store.put("names", "ann", [BYRNE], max_entries=2)
    with pytest.raises(LexiconQuota, match="have 1 without this one"):
        store.put("other", "ann", [NGUYEN, BYRNE], max_entries=2)


@pytest.mark.parametrize("name", ["", "../x", ".x", "x" * 65, "a b", "é"])
def test_invalid_names_are_refused(store: LexiconStore, name: str) -> None:
    for change in (store.put, store.add):
        with pytest.raises(LexiconNameError, match="invalid lexicon name"):
            change(name, "ann", [NGUYEN])


def test_invalid_entries_change_nothing(store: LexiconStore) -> None:
    with pytest.raises(LexiconError):
        store.put("names", "ann", [Entry("", "x")])
    assert store.all() == []


def test_folder_that_cannot_be_written_is_reported_without_its_path(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(LexiconStoreError, match="cannot be written") as raised:
        LexiconStore(tmp_path / "file" / "lexicons").put("names", "ann", [NGUYEN])
    assert str(tmp_path) not in str(raised.value)


@pytest.mark.parametrize("is_root", [True, False])
def test_files_of_root_belong_to_the_owner_of_the_data(
    store: LexiconStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_root: bool
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0 if is_root else 1000)
    changed: list[tuple[int, int]] = []
    monkeypatch.setattr(os, "chown", lambda path, user, group: changed.append((user, group)))
    monkeypatch.setattr(os, "fchown", lambda file, user, group: changed.append((user, group)))
    store.put("names", "ann", [NGUYEN])
    stat = tmp_path.stat()
    assert set(changed) == ({(stat.st_uid, stat.st_gid)} if is_root else set())

"""Keys are made, and kept as hashes in a file that is always whole."""

import hashlib
import json
import multiprocessing
import os
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sayline_tts.server.access.keys import MAX_FILE_BYTES, NAME, KeyFile, KeyFileError, KeyNameError
from sayline_tts.server.access.limits import Limits

NOTHING = Limits()


@pytest.fixture
def file(tmp_path: Path) -> KeyFile:
    return KeyFile(tmp_path / "deep" / "keys.json")


def names(file: KeyFile) -> list[str]:
    return [key.name for key in file.read() or ()]


def damage(file: KeyFile, content: object) -> None:
    file.path.parent.mkdir(exist_ok=True)
    file.path.write_bytes(content if isinstance(content, bytes) else json.dumps(content).encode())


def entry(**changed: object) -> dict[str, object]:
    return {"name": "ann", "sha256": "0" * 64, "created": "2026-01-01", "limits": {}} | changed


def test_a_key_is_long_random_and_can_be_a_subprotocol(file: KeyFile) -> None:
    keys = {file.add(f"n{number}", NOTHING) for number in range(20)}
    assert len(keys) == 20
    assert all(re.fullmatch(r"say_[A-Za-z0-9_-]{43}", key) for key in keys)


def test_only_hashes_are_kept(file: KeyFile) -> None:
    key = file.add("ann", Limits(contexts=3, voices=("alba",)))
    text = file.path.read_text()
    assert key not in text
    assert key.removeprefix("say_") not in text
    (kept,) = file.read() or ()
    assert kept.sha256 == hashlib.sha256(key.encode()).hexdigest()
    assert kept.limits == Limits(contexts=3, voices=("alba",))


def test_the_file_is_for_its_owner_alone(file: KeyFile) -> None:
    before = os.umask(0)
    try:
        file.add("ann", NOTHING)
        file.add("bob", NOTHING)
    finally:
        os.umask(before)
    assert file.path.stat().st_mode & 0o777 == 0o600
    assert file.path.parent.stat().st_mode & 0o077 == 0


def test_keys_are_revoked_by_name(file: KeyFile) -> None:
    file.add("ann", NOTHING)
    file.add("bob", NOTHING)
    file.revoke("ann")
    assert names(file) == ["bob"]
    with pytest.raises(KeyNameError, match=r"no key 'ann'; `sayline keys list`"):
        file.revoke("ann")


def test_nothing_can_be_revoked_where_there_is_no_file(file: KeyFile) -> None:
    assert file.read() is None
    with pytest.raises(KeyNameError):
        file.revoke("ann")


def test_a_name_stands_for_one_key(file: KeyFile) -> None:
    file.add("ann", NOTHING)
    with pytest.raises(KeyNameError, match="there is a key ann already"):
        file.add("ann", NOTHING)
    assert names(file) == ["ann"]


@pytest.mark.parametrize(
    "name", ["", " ", "a b", "-x", "ä", "a\n", "x" * 65, "anonymous", "api_key", "../x", "\x1b[2J"]
)
def test_a_name_that_would_confuse_is_refused(file: KeyFile, name: str) -> None:
    with pytest.raises(KeyNameError, match="cannot be a key's name"):
        file.add(name, NOTHING)
    assert file.read() is None


@pytest.mark.parametrize("moment", ["fsync", "replace"])
def test_who_is_killed_while_writing_leaves_the_old_file(
    file: KeyFile, moment: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    file.add("ann", NOTHING)

    class Killed(BaseException):
        pass

    def die(*_: object, **__: object) -> None:
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(os, moment, die)
        with pytest.raises(Killed):
            file.add("bob", NOTHING)
    assert names(file) == ["ann"]
    file.add("eve", NOTHING)
    assert names(file) == ["ann", "eve"]
    assert sorted(path.name for path in file.path.parent.iterdir()) == ["keys.json", "keys.json.lock"]


def test_a_full_disk_is_said_and_changes_nothing(file: KeyFile, monkeypatch: pytest.MonkeyPatch) -> None:
    file.add("ann", NOTHING)

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(KeyFileError, match=r"cannot write .*keys.json \(No space left on device\)"):
        file.revoke("ann")
    assert names(file) == ["ann"]


def _add_some(path: Path, who: str) -> None:
    for number in range(5):
        KeyFile(path).add(f"{who}{number}", NOTHING)


def test_two_that_write_at_once_lose_nothing(file: KeyFile) -> None:
    processes = [
        multiprocessing.get_context("spawn").Process(target=_add_some, args=(file.path, who)) for who in ("a", "b")
    ]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)
        assert process.exitcode == 0
    assert sorted(names(file)) == [f"{who}{number}" for who in "ab" for number in range(5)]


def test_a_link_to_the_file_stays_a_link(tmp_path: Path) -> None:
    real = KeyFile(tmp_path / "real" / "keys.json")
    real.add("ann", NOTHING)
    (tmp_path / "link").symlink_to(real.path)
    KeyFile(tmp_path / "link").add("bob", NOTHING)
    assert (tmp_path / "link").is_symlink()
    assert names(real) == ["ann", "bob"]


def test_keys_that_root_makes_belong_to_who_had_the_file(file: KeyFile, monkeypatch: pytest.MonkeyPatch) -> None:
    """Or the server, which is not root, could not read that one was revoked."""
    file.add("ann", NOTHING)
    given: list[tuple[int, int]] = []
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(os, "fchown", lambda _, user, group: given.append((user, group)))
    monkeypatch.setattr(os, "chown", lambda _, user, group: given.append((user, group)))
    file.add("bob", NOTHING)
    owner = file.path.stat()
    assert given == [(owner.st_uid, owner.st_gid)] * 2  # of the lock, and of the file


def test_others_than_root_give_nothing_away(file: KeyFile, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    monkeypatch.setattr(os, "fchown", None)
    monkeypatch.setattr(os, "chown", None)
    file.add("ann", NOTHING)
    file.add("bob", NOTHING)


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "plain").write_text("")
    with pytest.raises(KeyFileError, match=r"cannot write .*plain/keys.json.*as the user whom the server runs as"):
        KeyFile(tmp_path / "plain" / "keys.json").add("ann", NOTHING)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\xff\xfe",
        b"[" * 100_000,
        [],
        {"version": 2, "keys": []},
        {"keys": []},
        {"version": 1, "keys": [entry(sha256="x")]},
        {"version": 1, "keys": [entry(sha256="0" * 64 + "\n")]},
        {"version": 1, "keys": [entry(name="a b")]},
        {"version": 1, "keys": [entry(limits={"watts": 3})]},
        {"version": 1, "keys": [entry(limits={"contexts": 0})]},
    ],
)
def test_a_damaged_file_is_named_and_never_written_over(file: KeyFile, content: object) -> None:
    damage(file, content)
    before = file.path.read_bytes()
    for attempt in (lambda: file.add("eve", NOTHING), lambda: file.revoke("ann")):
        with pytest.raises(KeyFileError, match=r"keys\.json is no file of keys"):
            attempt()
    assert file.path.read_bytes() == before


def test_two_keys_of_one_name_are_refused(file: KeyFile) -> None:
    damage(file, {"version": 1, "keys": [entry(), entry(sha256="1" * 64)]})
    with pytest.raises(KeyFileError, match="two keys of one name"):
        file.read()


def test_a_huge_file_is_not_read(file: KeyFile) -> None:
    damage(file, b" " * (MAX_FILE_BYTES + 1))
    with pytest.raises(KeyFileError, match="more than"):
        file.read()


def test_a_folder_in_its_place_cannot_be_read(file: KeyFile) -> None:
    file.path.mkdir(parents=True)
    with pytest.raises(KeyFileError, match="cannot read the keys"):
        file.read()


@given(st.binary(max_size=200))
def test_whatever_is_in_the_file_only_one_error_comes(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    path = tmp_path_factory.getbasetemp() / "any.json"
    path.write_bytes(content)
    with pytest.raises(KeyFileError):
        KeyFile(path).read()


def test_names_are_matched_in_linear_time() -> None:
    assert re.search(NAME, "a" * 100_000 + " ") is None


def test_limits_survive_the_file(file: KeyFile) -> None:
    every: dict[str, Any] = {"contexts": 1, "chars_per_minute": 2, "voices": ("a",), "stored_voices": 0}
    file.add("ann", Limits(**every))
    (key,) = file.read() or ()
    assert {name: getattr(key.limits, name) for name in Limits.__struct_fields__} == every

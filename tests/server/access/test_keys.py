"""Creation of keys, and atomic storage of their hashes."""

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


def test_key_is_long_and_valid_as_subprotocol(file: KeyFile) -> None:
    keys = {file.add(f"n{number}", NOTHING) for number in range(20)}
    assert len(keys) == 20
    assert all(re.fullmatch(r"say_[A-Za-z0-9_-]{43}", key) for key in keys)


def test_only_hashes_are_stored(file: KeyFile) -> None:
    key = file.add("ann", Limits(contexts=3, voices=("alba",)))
    text = file.path.read_text()
    assert key not in text
    assert key.removeprefix("say_") not in text
    (kept,) = file.read() or ()
    assert kept.sha256 == hashlib.sha256(key.encode()).hexdigest()
    assert kept.limits == Limits(contexts=3, voices=("alba",))


def test_file_is_readable_by_owner_only(file: KeyFile) -> None:
    before = os.umask(0)
    try:
        file.add("ann", NOTHING)
        file.add("bob", NOTHING)
    finally:
        os.umask(before)
    assert file.path.stat().st_mode & 0o777 == 0o600
    assert file.path.parent.stat().st_mode & 0o077 == 0


def test_revoke_deletes_key_by_name(file: KeyFile) -> None:
    file.add("ann", NOTHING)
    file.add("bob", NOTHING)
    file.revoke("ann")
    assert names(file) == ["bob"]
    with pytest.raises(KeyNameError, match=r"no key named 'ann'; run `sayline keys list`"):
        file.revoke("ann")


def test_revoke_without_file_raises(file: KeyFile) -> None:
    assert file.read() is None
    with pytest.raises(KeyNameError):
        file.revoke("ann")


def test_duplicate_name_is_rejected(file: KeyFile) -> None:
    file.add("ann", NOTHING)
    with pytest.raises(KeyNameError, match="key ann already exists"):
        file.add("ann", NOTHING)
    assert names(file) == ["ann"]


@pytest.mark.parametrize(
    "name", ["", " ", "a b", "-x", "ä", "a\n", "x" * 65, "anonymous", "api_key", "../x", "\x1b[2J"]
)
def test_invalid_name_is_rejected(file: KeyFile, name: str) -> None:
    with pytest.raises(KeyNameError, match="invalid key name"):
        file.add(name, NOTHING)
    assert file.read() is None


@pytest.mark.parametrize("moment", ["fsync", "replace"])
def test_kill_during_write_leaves_the_old_file(file: KeyFile, moment: str, monkeypatch: pytest.MonkeyPatch) -> None:
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


def test_full_disk_raises_and_changes_nothing(file: KeyFile, monkeypatch: pytest.MonkeyPatch) -> None:
    file.add("ann", NOTHING)

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(KeyFileError, match=r"cannot write .*keys.json \(No space left on device\)"):
        file.revoke("ann")
    assert names(file) == ["ann"]


def _add_some(path: Path, prefix: str) -> None:
    for number in range(5):
        KeyFile(path).add(f"{prefix}{number}", NOTHING)


def test_concurrent_writers_lose_nothing(file: KeyFile) -> None:
    processes = [
        multiprocessing.get_context("spawn").Process(target=_add_some, args=(file.path, prefix))
        for prefix in ("a", "b")
    ]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)
        assert process.exitcode == 0
    assert sorted(names(file)) == [f"{prefix}{number}" for prefix in "ab" for number in range(5)]


def test_symlink_to_file_is_preserved(tmp_path: Path) -> None:
    real = KeyFile(tmp_path / "real" / "keys.json")
    real.add("ann", NOTHING)
    (tmp_path / "link").symlink_to(real.path)
    KeyFile(tmp_path / "link").add("bob", NOTHING)
    assert (tmp_path / "link").is_symlink()
    assert names(real) == ["ann", "bob"]


def test_files_written_by_root_keep_their_owner(file: KeyFile, monkeypatch: pytest.MonkeyPatch) -> None:
    """Otherwise a server that does not run as root could not read them."""
    file.add("ann", NOTHING)
    given: list[tuple[int, int]] = []
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(os, "fchown", lambda _, user, group: given.append((user, group)))
    monkeypatch.setattr(os, "chown", lambda _, user, group: given.append((user, group)))
    file.add("bob", NOTHING)
    owner = file.path.stat()
    assert given == [(owner.st_uid, owner.st_gid)] * 2  # of the lock, and of the file


def test_other_users_do_not_change_the_owner(file: KeyFile, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    monkeypatch.setattr(os, "fchown", None)
    monkeypatch.setattr(os, "chown", None)
    file.add("ann", NOTHING)
    file.add("bob", NOTHING)


def test_unwritable_folder_is_named(tmp_path: Path) -> None:
    (tmp_path / "plain").write_text("")
    with pytest.raises(KeyFileError, match=r"cannot write .*plain/keys.json.*as the user that the server runs as"):
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
def test_malformed_file_is_never_overwritten(file: KeyFile, content: object) -> None:
    damage(file, content)
    before = file.path.read_bytes()
    for attempt in (lambda: file.add("eve", NOTHING), lambda: file.revoke("ann")):
        with pytest.raises(KeyFileError, match=r"keys\.json is not a valid key file"):
            attempt()
    assert file.path.read_bytes() == before


def test_duplicate_names_in_file_are_rejected(file: KeyFile) -> None:
    damage(file, {"version": 1, "keys": [entry(), entry(sha256="1" * 64)]})
    with pytest.raises(KeyFileError, match="two keys of the same name"):
        file.read()


def test_oversized_file_is_rejected(file: KeyFile) -> None:
    damage(file, b" " * (MAX_FILE_BYTES + 1))
    with pytest.raises(KeyFileError, match="larger than"):
        file.read()


def test_folder_in_place_of_file_raises(file: KeyFile) -> None:
    file.path.mkdir(parents=True)
    with pytest.raises(KeyFileError, match="cannot read key file"):
        file.read()


@given(st.binary(max_size=200))
def test_arbitrary_content_raises_key_file_error(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    path = tmp_path_factory.getbasetemp() / "any.json"
    path.write_bytes(content)
    with pytest.raises(KeyFileError):
        KeyFile(path).read()


def test_name_pattern_matches_in_linear_time() -> None:
    assert re.search(NAME, "a" * 100_000 + " ") is None


def test_limits_survive_a_round_trip(file: KeyFile) -> None:
    every: dict[str, Any] = {
        "contexts": 1,
        "sessions": 3,
        "chars_per_minute": 2,
        "voices": ("a",),
        "stored_voices": 0,
        "cache": False,
    }
    file.add("ann", Limits(**every))
    (key,) = file.read() or ()
    assert {name: getattr(key.limits, name) for name in Limits.__struct_fields__} == every

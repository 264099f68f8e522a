"""Lookups in a key file that changes."""

import errno
import hashlib
import logging
import os
from pathlib import Path

import pytest

from sayline_tts.server.access.key_ring import KeyRing
from sayline_tts.server.access.keys import KeyFile, KeyFileError
from sayline_tts.server.access.limits import Limits

NOTHING = Limits()


@pytest.fixture
def file(tmp_path: Path) -> KeyFile:
    return KeyFile(tmp_path / "keys.json")


def test_malformed_file_raises_at_startup(file: KeyFile) -> None:
    file.path.write_bytes(b"{")
    with pytest.raises(KeyFileError, match="is not a valid key file"):
        KeyRing(file)


def test_only_the_exact_key_matches(file: KeyFile) -> None:
    ann, bob = file.add("ann", NOTHING), file.add("bob", Limits(contexts=2))
    ring = KeyRing(file)
    for given_key, name in ((ann, "ann"), (bob, "bob")):
        found = ring.find(given_key)
        assert found is not None
        assert found.caller.name == found.caller.account == name
    for wrong in ("", ann[:-1], f"{ann} ", ann.upper(), "say_", "\udcff", hashlib.sha256(ann.encode()).hexdigest()):
        assert ring.find(wrong) is None


def test_every_key_is_compared_whatever_was_presented(file: KeyFile, monkeypatch: pytest.MonkeyPatch) -> None:
    """So response times reveal nothing about the keys."""
    keys = [file.add(f"n{number}", NOTHING) for number in range(5)]
    ring, compared = KeyRing(file), []

    def compare(one: str, other: str) -> bool:
        compared.append((one, other))
        return one == other

    monkeypatch.setattr("hmac.compare_digest", compare)
    for given_key in (keys[0], keys[4], "wrong"):
        compared.clear()
        ring.find(given_key)
        assert len(compared) == 5


def test_file_changes_apply_at_once(file: KeyFile) -> None:
    ring = KeyRing(file)
    assert not ring.has_key_file
    ann = file.add("ann", NOTHING)
    assert ring.find(ann)
    assert ring.has_key_file
    bob = file.add("bob", NOTHING)
    assert ring.find(bob)
    file.revoke("ann")
    assert ring.find(ann) is None
    assert ring.named("ann") is None
    assert ring.named("bob") == ring.find(bob)


def test_unchanged_file_is_not_read_again(file: KeyFile, monkeypatch: pytest.MonkeyPatch) -> None:
    ann = file.add("ann", NOTHING)
    ring = KeyRing(file)
    monkeypatch.setattr(KeyFile, "read", None)
    assert ring.find(ann)


def test_deleted_file_rejects_all_keys_but_keeps_requiring_one(file: KeyFile) -> None:
    ann = file.add("ann", NOTHING)
    ring = KeyRing(file)
    file.path.unlink()
    assert ring.find(ann) is None
    assert ring.has_key_file


def test_file_that_becomes_malformed_rejects_all_keys(file: KeyFile, caplog: pytest.LogCaptureFixture) -> None:
    ann = file.add("ann", NOTHING)
    whole = file.path.read_bytes()
    ring = KeyRing(file)
    file.path.write_bytes(b"{")
    assert ring.find(ann) is None
    assert ring.find(ann) is None
    assert ring.has_key_file
    assert [record.levelno for record in caplog.records] == [logging.ERROR]  # once, not for each request
    assert "all keys are rejected until the key file is repaired" in caplog.text
    file.path.write_bytes(whole)
    assert ring.find(ann)
    file.path.write_bytes(b"{")
    assert ring.find(ann) is None
    assert len(caplog.records) == 2


def test_malformed_file_that_appears_requires_keys(file: KeyFile, caplog: pytest.LogCaptureFixture) -> None:
    ring = KeyRing(file)
    file.path.write_bytes(b"{")
    assert ring.has_key_file


@pytest.mark.parametrize("number", [errno.EMFILE, errno.ENFILE, errno.EIO, errno.EACCES])
@pytest.mark.parametrize("call", ["stat", "open"])
def test_keys_read_last_stay_valid_while_the_file_cannot_be_read(
    file: KeyFile, caplog: pytest.LogCaptureFixture, call: str, number: int
) -> None:
    ann = file.add("ann", NOTHING)
    ring = KeyRing(file)
    bob = file.add("bob", NOTHING)  # a change that is to be read
    with pytest.MonkeyPatch.context() as broken:
        fail_with(broken, call, number)
        for _ in range(3):
            assert ring.find(ann)
            assert ring.find(bob) is None
            assert ring.has_key_file
    assert len(caplog.records) == 1  # not for each request
    assert "the keys read last stay valid" in caplog.text
    assert ring.find(bob)


@pytest.mark.parametrize("call", ["stat", "open"])
def test_server_without_a_key_file_stays_open_without_descriptors(file: KeyFile, call: str) -> None:
    ring = KeyRing(file)
    with pytest.MonkeyPatch.context() as broken:
        fail_with(broken, call, errno.EMFILE)
        assert not ring.has_key_file
    assert not ring.has_key_file


def test_unreadable_file_that_appears_requires_keys(file: KeyFile) -> None:
    ring = KeyRing(file)
    file.add("ann", NOTHING)
    with pytest.MonkeyPatch.context() as broken:
        fail_with(broken, "open", errno.EACCES)
        assert ring.has_key_file


def test_unreadable_file_raises_at_startup(file: KeyFile) -> None:
    file.add("ann", NOTHING)
    for call in ("stat", "open"):
        with pytest.MonkeyPatch.context() as broken:
            fail_with(broken, call, errno.EMFILE)
            with pytest.raises(KeyFileError, match="key file"):
                KeyRing(file)


def fail_with(monkeypatch: pytest.MonkeyPatch, call: str, number: int) -> None:
    def fail(*_: object, **__: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(Path, call, fail)

"""`sayline keys`: create, list and revoke keys."""

import re
from pathlib import Path

import pytest

from sayline_tts.server.access.key_ring import KeyRing
from sayline_tts.server.access.keys import KeyFile
from sayline_tts.server.settings import Settings
from tests.server.commands.conftest import Sayline, usage_error


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> KeyFile:
    monkeypatch.setenv("SAYLINE_KEYS_FILE", str(tmp_path / "kept" / "keys.json"))
    monkeypatch.setenv("COLUMNS", "200")
    return KeyFile(tmp_path / "kept" / "keys.json")


def test_only_the_key_is_printed_to_standard_output(sayline: Sayline, file: KeyFile) -> None:
    done = sayline("keys", "add", "ann")
    assert done.exit_code == 0
    assert re.fullmatch(r"say_\S{43}\n", done.stdout)
    assert "shown only now" in done.stderr
    found = KeyRing(file).find(done.stdout.strip())
    assert found is not None
    assert found.name == "ann"


def test_limits_are_stored_with_the_key(sayline: Sayline, file: KeyFile) -> None:
    limits = "--contexts 4 --sessions 9 --chars-per-minute 6000 --voice alba --voice bob --stored-voices 2"
    assert sayline("keys", "add", "ann", *limits.split()).exit_code == 0
    (key,) = file.read() or ()
    assert not key.operator
    assert (key.limits.contexts, key.limits.sessions) == (4, 9)
    assert (key.limits.chars_per_minute, key.limits.stored_voices) == (6000, 2)
    assert key.limits.voices == ("alba", "bob")


def test_operator_is_stored_and_listed(sayline: Sayline, file: KeyFile) -> None:
    assert sayline("keys", "add", "ops", "--operator").exit_code == 0
    (key,) = file.read() or ()
    assert key.operator
    assert key.caller.operator
    assert re.search(r"ops +yes +20\d\d", sayline("keys", "list").stdout)


def test_list_shows_names_and_limits_but_no_keys(sayline: Sayline, file: KeyFile) -> None:
    key = sayline("keys", "add", "ann", "--contexts", 4, "--voice", "alba", "--stored-voices", 0).stdout.strip()
    sayline("keys", "add", "bob")
    listed = sayline("keys", "list").stdout
    assert re.search(r"ann +4 +alba +0 +20\d\d-\d\d-\d\d", listed)
    assert re.search(r"bob +20\d\d-\d\d-\d\d", listed)
    assert key not in listed
    assert (file.read() or ())[0].sha256 not in listed


def test_empty_list_explains_how_to_create_a_key(sayline: Sayline, file: KeyFile) -> None:
    listed = sayline("keys", "list")
    assert (listed.exit_code, listed.stdout) == (0, "")
    assert "sayline keys add" in listed.stderr


def test_revoked_key_is_gone(sayline: Sayline, file: KeyFile) -> None:
    key = sayline("keys", "add", "ann").stdout.strip()
    done = sayline("keys", "revoke", "ann")
    assert (done.exit_code, done.stdout) == (0, "")
    assert "Revoked key ann." in done.stderr
    assert KeyRing(file).find(key) is None
    assert "no key named 'ann'" in usage_error(sayline("keys", "revoke", "ann"))


@pytest.mark.parametrize("name", ["a b", "anonymous"])
def test_invalid_name_is_a_usage_error(sayline: Sayline, file: KeyFile, name: str) -> None:
    assert "invalid key name" in usage_error(sayline("keys", "add", name))


@pytest.mark.parametrize("limit", ["--contexts=0", "--chars-per-minute=-1", "--stored-voices=-1", "--contexts=x"])
def test_invalid_limit_creates_no_key(sayline: Sayline, file: KeyFile, limit: str) -> None:
    assert sayline("keys", "add", "ann", limit).exit_code == 2
    assert file.read() is None


def test_keys_file_option(sayline: Sayline, file: KeyFile, tmp_path: Path) -> None:
    sayline("keys", "add", "ann", "--keys-file", tmp_path / "other.json")
    assert file.read() is None
    assert "ann" in sayline("keys", "list", "--keys-file", tmp_path / "other.json").stdout


def test_default_file_is_the_servers(sayline: Sayline, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SAYLINE_KEYS_FILE", raising=False)
    monkeypatch.setenv("SAYLINE_DATA", str(tmp_path / "data"))
    sayline("keys", "add", "ann")
    assert [key.name for key in KeyFile(Settings().keys_path).read() or ()] == ["ann"]
    assert Settings().keys_path == tmp_path / "data" / "keys.json"

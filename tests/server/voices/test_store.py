import json
import os
import signal
import subprocess
import sys
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from sayline_tts.engine.checkpoint.atomic_write import atomic_write
from sayline_tts.engine.cloning.recording_quality import QualityIssue
from sayline_tts.server.access.limits import ANONYMOUS
from sayline_tts.server.voices.store import (
    ORPHAN_AGE_S,
    StoreError,
    VoiceMetadata,
    VoiceNameError,
    VoiceNameTaken,
    VoiceStore,
    check_name,
)

VOICE = b"voice" * 1000
ADVICE = (QualityIssue("noisy", "The pauses are loud."),)


def metadata(name: str = "Ann", owner: str = "key-1") -> VoiceMetadata:
    return VoiceMetadata.new(name, owner, 5.123, ADVICE, "embedded")


def added(store: VoiceStore, name: str = "Ann", owner: str = "key-1") -> VoiceMetadata:
    new = metadata(name, owner)
    store.add(new, VOICE)
    return new


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "data" / "voices"


@pytest.fixture
def store(folder: Path) -> VoiceStore:
    return VoiceStore(folder)


def test_missing_folder_has_no_voices_and_is_not_created(store: VoiceStore, folder: Path) -> None:
    assert store.visible("key-1") == []
    assert not folder.exists()


def test_voice_is_stored_with_its_metadata_file(store: VoiceStore, folder: Path) -> None:
    ann = added(store)
    assert sorted(os.listdir(folder)) == [f"{ann.id}.json", f"{ann.id}.safetensors"]
    assert store.path(ann).read_bytes() == VOICE
    content = json.loads((folder / f"{ann.id}.json").read_text())
    created = datetime.fromisoformat(content.pop("created"))
    assert timedelta(0) <= datetime.now(UTC) - created < timedelta(minutes=1)
    assert content == {
        "id": ann.id,
        "name": "Ann",
        "owner": "key-1",
        "consent": True,
        "duration_s": 5.12,
        "advice": [{"code": "noisy", "message": "The pauses are loud."}],
        "model": "embedded",
        "weights": "",
    }


def test_files_are_readable_by_owner_only(store: VoiceStore, folder: Path) -> None:
    added(store)
    assert folder.stat().st_mode & 0o077 == 0
    assert all(path.stat().st_mode & 0o077 == 0 for path in folder.iterdir())


def test_voices_survive_a_restart(store: VoiceStore, folder: Path) -> None:
    voices = [added(store, name) for name in ("Ann", "Bob")]
    again = VoiceStore(folder)
    assert again.visible("key-1") == store.visible("key-1")
    assert {voice.id for voice in again.visible("key-1")} == {voice.id for voice in voices}


def test_voice_is_found_by_id_and_name(store: VoiceStore) -> None:
    ann = added(store)
    assert store.find(ann.id, "key-1") == store.find("Ann", "key-1") == ann
    assert store.find("Bob", "key-1") is None


def test_name_defaults_to_the_id(store: VoiceStore) -> None:
    assert (ann := added(store, "")).name == ann.id


def test_voices_of_another_key_are_invisible(store: VoiceStore) -> None:
    ann = added(store)
    assert store.find(ann.id, "key-2") is None
    assert store.find("Ann", "key-2") is None
    assert store.visible("key-2") == []
    assert (store.count("key-1"), store.count("key-2")) == (1, 0)


def test_shared_voices_are_visible_to_all_and_own_voices_take_precedence(store: VoiceStore) -> None:
    shared = added(store, owner=ANONYMOUS)
    assert store.find("Ann", "key-1") == store.find(shared.id, "key-1") == shared
    own = added(store)
    assert store.find("Ann", "key-1") == own
    assert store.find("Ann", ANONYMOUS) == store.find("Ann", "key-2") == shared
    assert store.count(ANONYMOUS) == 1


def test_name_is_unique_per_owner(store: VoiceStore, folder: Path) -> None:
    added(store)
    with pytest.raises(VoiceNameTaken, match="voice 'Ann' already exists"):
        added(store)
    added(store, owner="key-2")
    assert len(os.listdir(folder)) == 4


def test_delete_is_idempotent(store: VoiceStore, folder: Path) -> None:
    ann, bob = added(store, "Ann"), added(store, "Bob")
    store.delete(ann)
    store.delete(ann)
    assert store.visible("key-1") == [bob]
    assert store.find(ann.id, "key-1") is None
    assert {path.stem for path in folder.iterdir()} == {bob.id}
    assert VoiceStore(folder).visible("key-1") == [bob]


def test_concurrent_adds_and_lookups(store: VoiceStore, folder: Path) -> None:
    def add(owner: str) -> None:
        for number in range(10):
            added(store, str(number), owner)
            assert store.find(str(number), owner)
            assert store.visible(owner)

    threads = [threading.Thread(target=add, args=(f"key-{number}",)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [store.count(f"key-{number}") for number in range(4)] == [10] * 4
    assert len(VoiceStore(folder).visible("key-3")) == 10


# Names


@pytest.mark.parametrize(
    "name", ["", "Ann", "Grand-ma's 2nd voice", "Zoë_1.5", "यामिनी", "李", " spaces around ", "a" * 64]
)
def test_ordinary_names_are_accepted(name: str) -> None:
    assert check_name(name) == name.strip()


def test_names_are_unicode_normalized() -> None:
    assert check_name("Zoe\u0308") == "Zoë"


@pytest.mark.parametrize(
    "name",
    ["../Ann", "a/b", "a\\b", "https://x", "a\nb", "a\0b", "a\u202eb", "<b>", "a" * 65, "v-0123456789abcdef", "\ud800"],
)
def test_names_like_paths_urls_and_ids_are_rejected(name: str) -> None:
    with pytest.raises(VoiceNameError):
        check_name(name)


# What goes wrong


def test_unwritable_folder_raises_store_error_and_is_logged(
    store: VoiceStore, folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder.parent.parent.mkdir(exist_ok=True)
    folder.parent.write_text("a file where the folder should be")
    with pytest.raises(StoreError, match="cannot write its voice folder") as error:
        added(store)
    assert str(folder) not in str(error.value)
    assert str(folder) in caplog.text
    assert store.visible("key-1") == []


def test_full_disk_leaves_no_files(store: VoiceStore, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(path: Path, data: bytes, mode: int) -> None:
        if path.suffix == ".json":
            raise OSError(28, "no space left on device")
        atomic_write(path, data, mode)

    monkeypatch.setattr("sayline_tts.server.voices.store.atomic_write", full)
    with pytest.raises(StoreError):
        added(store)
    assert os.listdir(folder) == []
    assert store.visible("key-1") == []


@pytest.mark.parametrize(
    "content",
    [b"", b"{}", b"[1]", b"\xff\xfe", b'{"id": 5}', b"nonsense"],
)
def test_malformed_metadata_is_logged_and_kept(
    store: VoiceStore, folder: Path, content: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    ann, bob = added(store, "Ann"), added(store, "Bob")
    (folder / f"{ann.id}.json").write_bytes(content)
    age(folder)
    assert VoiceStore(folder).visible("key-1") == [bob]
    assert f"{ann.id}.json is not valid voice metadata" in caplog.text
    assert store.path(ann).exists()


def test_metadata_with_another_id_is_ignored(store: VoiceStore, folder: Path) -> None:
    ann = added(store)
    path = folder / f"{ann.id}.json"
    path.rename(folder / "v-0123456789abcdef.json")
    (folder / "v-0123456789abcdef.safetensors").write_bytes(VOICE)
    (folder / "elsewhere.json").write_text((folder / "v-0123456789abcdef.json").read_text().replace(ann.id, "../x"))
    assert VoiceStore(folder).visible("key-1") == []


def test_voice_without_its_file_is_ignored(store: VoiceStore, folder: Path) -> None:
    ann = added(store)
    store.path(ann).unlink()
    assert VoiceStore(folder).visible("key-1") == []


def test_unknown_metadata_fields_are_ignored(store: VoiceStore, folder: Path) -> None:
    ann = added(store)
    path = folder / f"{ann.id}.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "mood": "merry"}))
    assert VoiceStore(folder).visible("key-1") == [ann]


def age(folder: Path) -> None:
    old = datetime.now().timestamp() - ORPHAN_AGE_S - 1
    for path in folder.iterdir():
        os.utime(path, (old, old))


def test_old_orphans_are_deleted_and_nothing_else(store: VoiceStore, folder: Path) -> None:
    ann = added(store)
    left = [folder / "tmp123.part", folder / "v-0123456789abcdef.safetensors"]
    for path in (*left, folder / "mine.safetensors", folder / "notes.txt"):
        path.write_bytes(b"x")
    VoiceStore(folder)
    assert all(path.exists() for path in left)  # another server may still be writing them
    age(folder)
    assert VoiceStore(folder).visible("key-1") == [ann]
    assert not any(path.exists() for path in left)
    assert (folder / "mine.safetensors").exists()
    assert (folder / "notes.txt").exists()


def test_failure_to_delete_an_orphan_is_logged(
    folder: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder.mkdir(parents=True)
    (folder / "tmp123.part").write_bytes(b"x")
    age(folder)

    def refuse(path: Path, missing_ok: bool = False) -> None:
        raise PermissionError(13, "permission denied")

    monkeypatch.setattr(Path, "unlink", refuse)
    VoiceStore(folder)
    assert "cannot delete the orphaned file" in caplog.text


def test_failure_to_list_the_folder_is_logged(
    folder: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(path: Path, pattern: str) -> None:
        raise PermissionError(13, "permission denied")

    monkeypatch.setattr(Path, "glob", refuse)
    assert VoiceStore(folder).visible("key-1") == []
    assert "cannot list the voice folder" in caplog.text


# Killed

SCRIPT = """
import os, signal, sys
from pathlib import Path
from sayline_tts.server.voices.store import VoiceMetadata, VoiceStore

store = VoiceStore(Path(sys.argv[1]))
moment, seen = int(sys.argv[2]), 0
EVENTS = ("open", "os.rename", "os.remove", "os.mkdir", "os.chmod", "tempfile.mkstemp")

def count(event, _):
    global seen
    if event in EVENTS:
        seen += 1
        if seen == moment:
            os.kill(os.getpid(), signal.SIGKILL)

print("ready", flush=True)
sys.addaudithook(count)
for number in range(3 if moment else 10**9):
    metadata = VoiceMetadata.new(f"voice {number}", "key-1", 5.0, (), "embedded")
    store.add(metadata, metadata.id.encode() * 50_000)
    if number % 2:
        store.delete(metadata)
"""


def killed_writer(folder: Path, moment: int) -> "subprocess.Popen[bytes]":
    """A process that adds and deletes voices, and kills itself before its n-th file operation; 0: never."""
    script = [sys.executable, "-c", SCRIPT, str(folder), str(moment)]
    return subprocess.Popen(script, cwd=Path(__file__).parents[3], stdout=subprocess.PIPE)


def assert_whole(folder: Path) -> int:
    voices = VoiceStore(folder).visible("key-1")
    for each in voices:
        assert (folder / f"{each.id}.safetensors").read_bytes() == each.id.encode() * 50_000
    return len(voices)


def test_kill_before_any_file_operation_leaves_complete_voices(tmp_path: Path) -> None:
    """Three voices and a deletion, killed before each file operation in turn."""
    seen = []
    for moment in range(1, 40):
        folder = tmp_path / str(moment) / "voices"
        with killed_writer(folder, moment) as writer:
            code = writer.wait()
        seen.append(assert_whole(folder))
        if code == 0:
            break
        assert code == -signal.SIGKILL
    assert code == 0, "more file operations than kills"
    assert moment > 12
    assert set(seen) >= {0, 1, 2}


def test_kill_at_any_time_leaves_complete_voices(tmp_path: Path) -> None:
    for voices in range(8):
        folder = tmp_path / str(voices) / "voices"
        with killed_writer(folder, 0) as writer:
            assert writer.stdout is not None
            assert writer.stdout.readline() == b"ready\n"
            while len(list(folder.glob("*.json"))) < voices:
                assert writer.poll() is None
            writer.kill()
        assert assert_whole(folder) >= voices - 1  # one of them may have been about to be deleted

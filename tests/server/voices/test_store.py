import json
import os
import signal
import subprocess
import sys
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from sayline_tts.engine.checkpoint.atomic_write import write_whole
from sayline_tts.engine.cloning.recording_quality import Advice
from sayline_tts.server.access.limits import ANONYMOUS
from sayline_tts.server.voices.store import (
    LEFTOVER_AGE_S,
    Card,
    StoreError,
    VoiceNameError,
    VoiceNameTaken,
    VoiceStore,
    check_name,
)

VOICE = b"voice" * 1000
ADVICE = (Advice("noisy", "The pauses are loud."),)


def card(name: str = "Ann", owner: str = "key-1") -> Card:
    return Card.new(name, owner, 5.123, ADVICE, "embedded")


def added(store: VoiceStore, name: str = "Ann", owner: str = "key-1") -> Card:
    new = card(name, owner)
    store.add(new, VOICE)
    return new


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "data" / "voices"


@pytest.fixture
def store(folder: Path) -> VoiceStore:
    return VoiceStore(folder)


def test_a_folder_that_is_not_there_has_no_voices_and_is_not_made(store: VoiceStore, folder: Path) -> None:
    assert store.visible("key-1") == []
    assert not folder.exists()


def test_a_voice_is_a_file_and_a_card_beside_it(store: VoiceStore, folder: Path) -> None:
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
    }


def test_only_the_user_who_runs_the_server_can_read_them(store: VoiceStore, folder: Path) -> None:
    added(store)
    assert folder.stat().st_mode & 0o077 == 0
    assert all(path.stat().st_mode & 0o077 == 0 for path in folder.iterdir())


def test_voices_survive_a_restart(store: VoiceStore, folder: Path) -> None:
    cards = [added(store, name) for name in ("Ann", "Bob")]
    again = VoiceStore(folder)
    assert again.visible("key-1") == store.visible("key-1")
    assert {card.id for card in again.visible("key-1")} == {card.id for card in cards}


def test_a_voice_is_found_by_id_and_by_name(store: VoiceStore) -> None:
    ann = added(store)
    assert store.find(ann.id, "key-1") == store.find("Ann", "key-1") == ann
    assert store.find("Bob", "key-1") is None


def test_a_voice_without_a_name_is_called_as_its_id(store: VoiceStore) -> None:
    assert (ann := added(store, "")).name == ann.id


def test_the_voices_of_one_key_are_nothing_to_another(store: VoiceStore) -> None:
    ann = added(store)
    assert store.find(ann.id, "key-2") is None
    assert store.find("Ann", "key-2") is None
    assert store.visible("key-2") == []
    assert (store.count("key-1"), store.count("key-2")) == (1, 0)


def test_voices_of_nobody_are_everybodys_and_ones_own_come_first(store: VoiceStore) -> None:
    shared = added(store, owner=ANONYMOUS)
    assert store.find("Ann", "key-1") == store.find(shared.id, "key-1") == shared
    own = added(store)
    assert store.find("Ann", "key-1") == own
    assert store.find("Ann", ANONYMOUS) == store.find("Ann", "key-2") == shared
    assert store.count(ANONYMOUS) == 1


def test_a_name_is_there_once_for_one_owner(store: VoiceStore, folder: Path) -> None:
    added(store)
    with pytest.raises(VoiceNameTaken, match="there is a voice 'Ann' already"):
        added(store)
    added(store, owner="key-2")
    assert len(os.listdir(folder)) == 4


def test_a_deleted_voice_is_gone_and_deleting_again_does_no_harm(store: VoiceStore, folder: Path) -> None:
    ann, bob = added(store, "Ann"), added(store, "Bob")
    store.delete(ann)
    store.delete(ann)
    assert store.visible("key-1") == [bob]
    assert store.find(ann.id, "key-1") is None
    assert {path.stem for path in folder.iterdir()} == {bob.id}
    assert VoiceStore(folder).visible("key-1") == [bob]


def test_many_threads_may_add_and_look_at_once(store: VoiceStore, folder: Path) -> None:
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
def test_names_as_people_have_them_are_kept(name: str) -> None:
    assert check_name(name) == name.strip()


def test_one_name_is_one_name_however_it_is_typed() -> None:
    assert check_name("Zoe\u0308") == "Zoë"


@pytest.mark.parametrize(
    "name",
    ["../Ann", "a/b", "a\\b", "https://x", "a\nb", "a\0b", "a\u202eb", "<b>", "a" * 65, "v-0123456789abcdef", "\ud800"],
)
def test_names_that_mean_something_else_are_refused(name: str) -> None:
    with pytest.raises(VoiceNameError):
        check_name(name)


# What goes wrong


def test_a_folder_that_cannot_be_written_is_our_fault_and_is_logged(
    store: VoiceStore, folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder.parent.parent.mkdir(exist_ok=True)
    folder.parent.write_text("a file where the folder should be")
    with pytest.raises(StoreError, match="cannot keep or delete voices now") as told:
        added(store)
    assert str(folder) not in str(told.value)
    assert str(folder) in caplog.text
    assert store.visible("key-1") == []


def test_a_disk_that_fills_up_leaves_nothing_behind(
    store: VoiceStore, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(path: Path, data: bytes, mode: int) -> None:
        if path.suffix == ".json":
            raise OSError(28, "no space left on device")
        write_whole(path, data, mode)

    monkeypatch.setattr("sayline_tts.server.voices.store.write_whole", full)
    with pytest.raises(StoreError):
        added(store)
    assert os.listdir(folder) == []
    assert store.visible("key-1") == []


@pytest.mark.parametrize(
    "content",
    [b"", b"{}", b"[1]", b"\xff\xfe", b'{"id": 5}', b"nonsense"],
)
def test_a_card_that_cannot_be_read_is_told_and_left_alone(
    store: VoiceStore, folder: Path, content: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    ann, bob = added(store, "Ann"), added(store, "Bob")
    (folder / f"{ann.id}.json").write_bytes(content)
    age(folder)
    assert VoiceStore(folder).visible("key-1") == [bob]
    assert f"{ann.id}.json is no card of a voice" in caplog.text
    assert store.path(ann).exists()


def test_a_card_of_another_name_is_not_believed(store: VoiceStore, folder: Path) -> None:
    ann = added(store)
    path = folder / f"{ann.id}.json"
    path.rename(folder / "v-0123456789abcdef.json")
    (folder / "v-0123456789abcdef.safetensors").write_bytes(VOICE)
    (folder / "elsewhere.json").write_text((folder / "v-0123456789abcdef.json").read_text().replace(ann.id, "../x"))
    assert VoiceStore(folder).visible("key-1") == []


def test_a_voice_whose_file_somebody_took_away_is_not_there(store: VoiceStore, folder: Path) -> None:
    ann = added(store)
    store.path(ann).unlink()
    assert VoiceStore(folder).visible("key-1") == []


def test_fields_of_a_later_version_are_ignored(store: VoiceStore, folder: Path) -> None:
    ann = added(store)
    path = folder / f"{ann.id}.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "mood": "merry"}))
    assert VoiceStore(folder).visible("key-1") == [ann]


def age(folder: Path) -> None:
    old = datetime.now().timestamp() - LEFTOVER_AGE_S - 1
    for path in folder.iterdir():
        os.utime(path, (old, old))


def test_what_a_kill_left_is_cleared_away_later_and_nothing_else(store: VoiceStore, folder: Path) -> None:
    ann = added(store)
    left = [folder / "tmp123.part", folder / "v-0123456789abcdef.safetensors"]
    for path in (*left, folder / "mine.safetensors", folder / "notes.txt"):
        path.write_bytes(b"x")
    VoiceStore(folder)
    assert all(path.exists() for path in left)  # another server may still be writing
    age(folder)
    assert VoiceStore(folder).visible("key-1") == [ann]
    assert not any(path.exists() for path in left)
    assert (folder / "mine.safetensors").exists()
    assert (folder / "notes.txt").exists()


def test_a_leftover_that_cannot_be_cleared_away_is_told(
    folder: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder.mkdir(parents=True)
    (folder / "tmp123.part").write_bytes(b"x")
    age(folder)

    def refuse(path: Path, missing_ok: bool = False) -> None:
        raise PermissionError(13, "permission denied")

    monkeypatch.setattr(Path, "unlink", refuse)
    VoiceStore(folder)
    assert "cannot clear away" in caplog.text


def test_a_folder_that_cannot_be_listed_has_no_voices_and_is_told(
    folder: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(path: Path, pattern: str) -> None:
        raise PermissionError(13, "permission denied")

    monkeypatch.setattr(Path, "glob", refuse)
    assert VoiceStore(folder).visible("key-1") == []
    assert "cannot read the voices" in caplog.text


# Killed

SCRIPT = """
import os, signal, sys
from pathlib import Path
from sayline_tts.server.voices.store import Card, VoiceStore

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
    card = Card.new(f"voice {number}", "key-1", 5.0, (), "embedded")
    store.add(card, card.id.encode() * 50_000)
    if number % 2:
        store.delete(card)
"""


def killed_writer(folder: Path, moment: int) -> "subprocess.Popen[bytes]":
    """Adds and deletes voices. It kills itself before its n-th touch of a file, or, with 0, goes on until killed."""
    script = [sys.executable, "-c", SCRIPT, str(folder), str(moment)]
    return subprocess.Popen(script, cwd=Path(__file__).parents[3], stdout=subprocess.PIPE)


def assert_whole(folder: Path) -> int:
    cards = VoiceStore(folder).visible("key-1")
    for each in cards:
        assert (folder / f"{each.id}.safetensors").read_bytes() == each.id.encode() * 50_000
    return len(cards)


def test_a_kill_before_any_touch_of_a_file_leaves_whole_voices(tmp_path: Path) -> None:
    """Three voices and a deletion, killed at every moment there is."""
    seen = []
    for moment in range(1, 40):
        folder = tmp_path / str(moment) / "voices"
        with killed_writer(folder, moment) as writer:
            code = writer.wait()
        seen.append(assert_whole(folder))
        if code == 0:
            break
        assert code == -signal.SIGKILL
    assert code == 0, "there were more moments than were tried"
    assert moment > 12
    assert set(seen) >= {0, 1, 2}


def test_kills_at_any_time_leave_whole_voices(tmp_path: Path) -> None:
    for voices in range(8):
        folder = tmp_path / str(voices) / "voices"
        with killed_writer(folder, 0) as writer:
            assert writer.stdout is not None
            assert writer.stdout.readline() == b"ready\n"
            while len(list(folder.glob("*.json"))) < voices:
                assert writer.poll() is None
            writer.kill()
        assert assert_whole(folder) >= voices - 1  # one of them may have been about to go

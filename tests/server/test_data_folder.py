"""The data folder: its version, and archives of it."""

import io
import json
import tarfile
from pathlib import Path

import pytest

from sayline_tts.engine.text.lexicon import Entry
from sayline_tts.server.access.keys import KeyFile
from sayline_tts.server.access.limits import Limits
from sayline_tts.server.accounting.ledger import Totals, UsageFile
from sayline_tts.server.data_folder import VERSION, DataFolder, DataFolderError
from sayline_tts.server.lexicons.store import LexiconStore, file_name
from sayline_tts.server.voices.store import VoiceMetadata, VoiceStore
from tests.server.voice_server import some_voice


@pytest.fixture
def folder(tmp_path: Path) -> DataFolder:
    """With a key, usage, a voice and a lexicon."""
    folder = DataFolder(tmp_path / "data")
    KeyFile(folder.path / "keys.json").add("ann", Limits())
    UsageFile(folder.path / "usage.json").add({("ann", "2026-11"): Totals(utterances=1)})
    store = VoiceStore(folder.path / "voices")
    store.add(VoiceMetadata.new("Ann", "ann", 5.0, (), "fake"), some_voice().to_bytes())
    LexiconStore(folder.path / "lexicons").put("names", "ann", [Entry("Nguyen", "win")])
    folder.check_version()
    return folder


@pytest.fixture
def archive(folder: DataFolder, tmp_path: Path) -> Path:
    folder.export(tmp_path / "backup.tar.gz")
    return tmp_path / "backup.tar.gz"


def voice_path(folder: DataFolder, suffix: str = ".safetensors") -> Path:
    [path] = (folder.path / "voices").glob(f"*{suffix}")
    return path


def repacked(archive: Path, **changed: bytes | None) -> Path:
    """The archive with other content for the files whose names end like this; None leaves them out."""
    target = archive.with_name("changed.tar.gz")
    with tarfile.open(archive) as old, tarfile.open(target, "w:gz") as new:
        for member in old:
            file = old.extractfile(member)
            assert file is not None
            data: bytes | None = file.read()
            for end, content in changed.items():
                if member.name.endswith(end.replace("_", ".")):
                    data = content
            if data is not None:
                member.size = len(data)
                new.addfile(member, io.BytesIO(data))
    return target


def test_version_is_noted_in_an_existing_folder(tmp_path: Path) -> None:
    DataFolder(tmp_path / "none").check_version()
    assert not (tmp_path / "none").exists()
    DataFolder(tmp_path).check_version()
    assert json.loads((tmp_path / "format.json").read_text()) == {"version": VERSION}
    DataFolder(tmp_path).check_version()


@pytest.mark.parametrize(
    ("content", "reason"), [(f'{{"version":{VERSION + 1}}}', "install a later Sayline"), ("{", "cannot read")]
)
def test_later_or_damaged_format_is_refused(tmp_path: Path, content: str, reason: str) -> None:
    (tmp_path / "format.json").write_text(content)
    with pytest.raises(DataFolderError, match=reason):
        DataFolder(tmp_path).check_version()


def test_archive_restores_everything(folder: DataFolder, archive: Path, tmp_path: Path) -> None:
    other = DataFolder(tmp_path / "other")
    names = other.restore(archive)
    assert sorted(names) == sorted(folder.names()) == sorted(other.names())
    for name in names:
        assert (other.path / name).read_bytes() == (folder.path / name).read_bytes()
        assert (other.path / name).stat().st_mode & 0o777 == 0o600
    assert archive.stat().st_mode & 0o777 == 0o600
    assert list(other.problems()) == []
    files = {"format.json", "keys.json", "usage.json", "voices", "lexicons"}
    assert {path.name for path in other.path.iterdir()} == files
    assert LexiconStore(other.path / "lexicons").get("names", "ann") is not None
    [voice] = VoiceStore(other.path / "voices").visible("ann")
    assert voice.name == "Ann"


def test_voice_that_is_deleted_during_an_export_is_left_out(
    folder: DataFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = folder.names()
    voice_path(folder).unlink()
    voice_path(folder, ".json").unlink()
    monkeypatch.setattr(folder, "names", lambda: names)
    exported = folder.export(tmp_path / "backup.tar.gz")
    assert exported == ["format.json", "keys.json", "usage.json", f"lexicons/{file_name('names', 'ann')}"]
    DataFolder(tmp_path / "other").restore(tmp_path / "backup.tar.gz")


def test_occupied_folder_is_left_alone(folder: DataFolder, archive: Path) -> None:
    before = (folder.path / "keys.json").read_bytes()
    with pytest.raises(DataFolderError, match=r"has keys.json already"):
        folder.restore(archive)
    assert (folder.path / "keys.json").read_bytes() == before


def test_folder_that_only_has_a_version_can_be_restored(archive: Path, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    other = DataFolder(tmp_path / "other")
    other.check_version()
    other.restore(archive)
    assert list(other.problems()) == []


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"keys_json": b"{}"}, "incomplete or damaged"),
        ({"usage_json": None}, "incomplete or damaged"),
        ({"manifest_json": None}, "incomplete or damaged"),
        ({"manifest_json": b"{"}, "cannot read"),
    ],
)
def test_damaged_archive_changes_nothing(
    archive: Path, tmp_path: Path, changed: dict[str, bytes | None], reason: str
) -> None:
    other = DataFolder(tmp_path / "other")
    with pytest.raises(DataFolderError, match=reason):
        other.restore(repacked(archive, **changed))
    assert list(other.path.iterdir()) == []


def test_archive_of_a_later_format_is_refused(archive: Path, tmp_path: Path) -> None:
    with tarfile.open(archive) as file:
        content = file.extractfile("manifest.json")
        assert content is not None
        manifest = json.loads(content.read())
    later = json.dumps(manifest | {"version": VERSION + 1}).encode()
    with pytest.raises(DataFolderError, match="install a later Sayline"):
        DataFolder(tmp_path / "other").restore(repacked(archive, manifest_json=later))


@pytest.mark.parametrize("name", ["../evil", "/etc/evil", "voices/../../evil", "voices/v-x.json", "keys.json/x"])
@pytest.mark.parametrize("kind", [tarfile.REGTYPE, tarfile.SYMTYPE, tarfile.DIRTYPE])
def test_unexpected_members_are_refused(tmp_path: Path, name: str, kind: bytes) -> None:
    member = tarfile.TarInfo(name)
    member.type, member.linkname = kind, "/etc/passwd"
    with tarfile.open(tmp_path / "evil.tar.gz", "w:gz") as file:
        file.addfile(member)
    with pytest.raises(DataFolderError, match="unexpected"):
        DataFolder(tmp_path / "other").restore(tmp_path / "evil.tar.gz")
    assert list((tmp_path / "other").iterdir()) == []


def test_file_that_is_no_archive_is_refused(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"something else")
    with pytest.raises(DataFolderError, match="cannot read"):
        DataFolder(tmp_path / "other").restore(tmp_path / "x")


def test_truncated_archive_is_refused(archive: Path, tmp_path: Path) -> None:
    archive.write_bytes(archive.read_bytes()[:-40])
    with pytest.raises(DataFolderError):
        DataFolder(tmp_path / "other").restore(archive)


@pytest.mark.parametrize("name", ["format.json", "keys.json", "usage.json"])
def test_damaged_file_is_found(folder: DataFolder, name: str) -> None:
    (folder.path / name).write_text("{")
    [problem] = folder.problems()
    assert name in problem


def test_damaged_lexicon_is_found(folder: DataFolder) -> None:
    (folder.path / "lexicons" / file_name("names", "ann")).write_text("{}")
    [problem] = folder.problems()
    assert "not a valid lexicon" in problem


def test_damaged_voice_is_found(folder: DataFolder) -> None:
    path = voice_path(folder)
    path.write_bytes(path.read_bytes()[:-100])
    [problem] = folder.problems()
    assert "restore" in problem
    path.unlink()
    assert len(list(folder.problems())) == 1
    voice_path(folder, ".json").write_text("{}")
    assert len(list(folder.problems())) == 2

"""`sayline export-voice` for files and folders, and its errors."""

import os
from pathlib import Path

import pytest

from sayline_tts.engine.tts_model import TTSModel
from tests.engine.sounds import speech, wav
from tests.server.commands.conftest import Sayline, usage_error


@pytest.fixture
def recordings(tmp_path: Path) -> Path:
    folder = tmp_path / "recordings"
    folder.mkdir()
    for number, name in enumerate(("ann", "bob")):
        (folder / f"{name}.wav").write_bytes(wav(speech(1, seed=number)))
    (folder / "notes.txt").write_text("not a recording")
    (folder / "._ann.wav").write_bytes(b"what some systems leave behind")
    return folder


def _names(folder: Path) -> list[str]:
    return sorted(file.name for file in folder.iterdir())


def test_exported_voice_gives_the_same_speech_as_its_recording(
    sayline: Sayline, embedded: TTSModel, recordings: Path
) -> None:
    ann = recordings / "ann.wav"
    result = sayline("export-voice", ann, "ann.safetensors")
    assert (result.exit_code, result.stderr.splitlines()[-1]) == (0, f"{ann} -> ann.safetensors")
    for voice, output in ((ann, "a.wav"), ("ann.safetensors", "b.wav")):
        sayline("generate", "Hello.", "-v", voice, "-o", output, "--seed", "1")
    assert Path("a.wav").read_bytes() == Path("b.wav").read_bytes()


def test_output_may_be_a_folder(sayline: Sayline, embedded: TTSModel, recordings: Path, tmp_path: Path) -> None:
    (tmp_path / "voices").mkdir()
    assert sayline("export-voice", recordings / "ann.wav", "voices").exit_code == 0
    assert _names(tmp_path / "voices") == ["ann.safetensors"]


def test_all_recordings_of_a_folder_are_converted(
    sayline: Sayline, embedded: TTSModel, recordings: Path, tmp_path: Path
) -> None:
    result = sayline("export-voice", recordings, "new/voices", "-q")
    assert (result.exit_code, result.output) == (0, "")
    assert _names(tmp_path / "new" / "voices") == ["ann.safetensors", "bob.safetensors"]


def test_bad_recording_does_not_stop_the_others(
    sayline: Sayline, embedded: TTSModel, recordings: Path, tmp_path: Path
) -> None:
    (recordings / "ann.wav").write_bytes(b"")
    result = sayline("export-voice", recordings, "voices")
    assert result.exit_code == 1
    assert "sayline: " in result.stderr
    assert "ann.wav is empty" in result.stderr
    assert result.stderr.splitlines()[-1] == "1 of 2 recordings converted."
    assert _names(tmp_path / "voices") == ["bob.safetensors"]


def test_existing_voice_file_is_overwritten(sayline: Sayline, embedded: TTSModel, recordings: Path) -> None:
    Path("ann.safetensors").write_bytes(b"old")
    assert sayline("export-voice", recordings / "ann.wav", "ann.safetensors").exit_code == 0
    assert Path("ann.safetensors").stat().st_size > 1000


def test_long_recording_needs_truncate(sayline: Sayline, embedded: TTSModel) -> None:
    Path("long.wav").write_bytes(wav(speech(31, 8000), 8000))
    assert "--truncate" in usage_error(sayline("export-voice", "long.wav", "long.safetensors"))
    assert not Path("long.safetensors").exists()
    assert sayline("export-voice", "long.wav", "long.safetensors", "--truncate").exit_code == 0


def test_unwritable_output_is_named(
    sayline: Sayline, embedded: TTSModel, recordings: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    message = usage_error(sayline("export-voice", recordings / "ann.wav", "ann.safetensors"))
    assert "cannot write ann.safetensors (No space left on device)" in message


@pytest.mark.parametrize(
    ("source", "output", "message"),
    [
        ("recordings", "voice.safetensors", "so OUTPUT must be a folder too"),
        ("recordings", "recordings/ann.wav", "so OUTPUT must be a folder too"),
        ("recordings", "recordings/ann.wav/voices", "cannot create folder"),
        ("recordings/ann.wav", "voice.wav", "try voice.safetensors"),
        ("recordings/ann.wav", "missing/voice.safetensors", "folder missing does not exist; create it"),
        ("recordings/eve.wav", "voice.safetensors", "no such file: recordings/eve.wav"),
        (".", "voices", "no recordings in ."),
    ],
)
def test_invalid_combinations_are_explained(
    source: str, output: str, message: str, sayline: Sayline, recordings: Path
) -> None:
    assert message in usage_error(sayline("export-voice", source, output))


def test_recordings_with_the_same_stem_are_rejected(sayline: Sayline, recordings: Path) -> None:
    (recordings / "ann.mp3").touch()
    assert "ann.mp3 and ann.wav would both become ann.safetensors" in usage_error(
        sayline("export-voice", recordings, "voices")
    )

"""Output files and pipes, and unusable ones."""

import os
from pathlib import Path

import numpy as np
import pytest

from sayline_tts.engine.audio.recording import read_audio
from sayline_tts.server.commands.speech_output import OutputError, SpeechOutput

SOUND = np.full(24_000, 0.25, np.float32)


def test_existing_file_is_untouched_before_opening(tmp_path: Path) -> None:
    path = tmp_path / "old.wav"
    path.write_bytes(b"old")
    SpeechOutput(path)
    assert path.read_bytes() == b"old"


def test_file_is_valid_while_being_written(tmp_path: Path) -> None:
    output = SpeechOutput(tmp_path / "speech.wav")
    with output.opened(24_000):
        output.write(SOUND)
        output.write(SOUND)
        assert len(read_audio(tmp_path / "speech.wav")) == 48_000


def test_interrupted_file_has_its_true_length(tmp_path: Path) -> None:
    output = SpeechOutput(tmp_path / "speech.wav")

    def speak() -> None:
        with output.opened(24_000):
            output.write(SOUND)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        speak()
    data = (tmp_path / "speech.wav").read_bytes()
    assert int.from_bytes(data[40:44], "little") == len(data) - 44 == 48_000


def test_default_is_speech_wav(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert SpeechOutput.parse(None, stream=False).name == "speech.wav"


def test_stream_excludes_output() -> None:
    with pytest.raises(OutputError, match="excludes --output"):
        SpeechOutput.parse("speech.wav", stream=True)


@pytest.mark.parametrize("stream", [False, True])
def test_terminal_output_is_rejected(stream: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    with pytest.raises(OutputError, match="is a terminal"):
        SpeechOutput.parse(None if stream else "-", stream)


@pytest.mark.parametrize(
    ("place", "message"),
    [
        ("missing/speech.wav", "does not exist; create it"),
        ("file/speech.wav", "is a file, not a folder"),
        ("folder", "is a folder; give a file in it"),
        ("speech.mp3", "another format than WAV"),
    ],
)
def test_unusable_path_is_rejected(place: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "folder").mkdir()
    with pytest.raises(OutputError, match=message):
        SpeechOutput(tmp_path / place)


def test_missing_write_permission_is_rejected(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "access", lambda path, mode: False)  # root may write anywhere
    with pytest.raises(OutputError, match="no permission to write"):
        SpeechOutput(tmp_path / "speech.wav")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_full_disk_is_reported() -> None:
    output = SpeechOutput(Path("/dev/full"))
    with pytest.raises(OutputError, match="No space left on device"), output.opened(24_000):
        output.write(SOUND)

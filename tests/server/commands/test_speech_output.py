"""Files and pipes that speech is written to, and places where it cannot be."""

import os
from pathlib import Path

import numpy as np
import pytest

from sayline_tts.engine.audio.recording import read_audio
from sayline_tts.server.commands.speech_output import OutputError, SpeechOutput

SOUND = np.full(24_000, 0.25, np.float32)


def test_nothing_is_touched_before_speech_begins(tmp_path: Path) -> None:
    path = tmp_path / "old.wav"
    path.write_bytes(b"old")
    SpeechOutput(path)
    assert path.read_bytes() == b"old"


def test_a_file_plays_while_it_is_being_written(tmp_path: Path) -> None:
    output = SpeechOutput(tmp_path / "speech.wav")
    with output.opened(24_000):
        output.write(SOUND)
        output.write(SOUND)
        assert len(read_audio(tmp_path / "speech.wav")) == 48_000


def test_a_file_that_breaks_off_names_its_true_length(tmp_path: Path) -> None:
    output = SpeechOutput(tmp_path / "speech.wav")

    def speak() -> None:
        with output.opened(24_000):
            output.write(SOUND)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        speak()
    data = (tmp_path / "speech.wav").read_bytes()
    assert int.from_bytes(data[40:44], "little") == len(data) - 44 == 48_000


def test_the_default_is_speech_wav(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert SpeechOutput.parse(None, stream=False).name == "speech.wav"


def test_bare_samples_to_a_file_are_refused() -> None:
    with pytest.raises(OutputError, match="leave out --output"):
        SpeechOutput.parse("speech.wav", stream=True)


@pytest.mark.parametrize("stream", [False, True])
def test_a_terminal_gets_no_samples(stream: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    with pytest.raises(OutputError, match="is this terminal"):
        SpeechOutput.parse(None if stream else "-", stream)


@pytest.mark.parametrize(
    ("place", "message"),
    [
        ("missing/speech.wav", "does not exist; make it first"),
        ("file/speech.wav", "is a file, not a folder"),
        ("folder", "is a folder; name a file in it"),
        ("speech.mp3", "WAV only"),
    ],
)
def test_an_impossible_place_is_refused(place: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "folder").mkdir()
    with pytest.raises(OutputError, match=message):
        SpeechOutput(tmp_path / place)


def test_a_folder_without_the_right_to_write_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "access", lambda path, mode: False)  # root may write anywhere
    with pytest.raises(OutputError, match="you have no right to"):
        SpeechOutput(tmp_path / "speech.wav")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="only Linux has a full disk at hand")
def test_a_full_disk_is_told_plainly() -> None:
    output = SpeechOutput(Path("/dev/full"))
    with pytest.raises(OutputError, match="No space left on device"), output.opened(24_000):
        output.write(SOUND)

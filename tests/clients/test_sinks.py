"""What `-o` means; the written files are tested in test_cli.py."""

import os
import sys
from pathlib import Path

import pytest
from sayline.errors import NoSound
from sayline.sinks import FileSink, SinkError, open_sink


@pytest.mark.parametrize(
    ("name", "raw", "is_raw"),
    [
        ("out.wav", False, False),
        ("out.WAV", False, False),
        ("out", False, False),
        ("out.raw", False, True),
        ("out.pcm", False, True),
        ("out.wav", True, True),
    ],
)
def test_file_suffix_selects_the_format(tmp_path: Path, name: str, raw: bool, is_raw: bool) -> None:
    sink = open_sink(str(tmp_path / name), raw)
    assert isinstance(sink, FileSink)
    assert (sink._raw, sink.format) == (is_raw, "pcm")


def test_unsupported_suffix_suggests_the_server_command(tmp_path: Path) -> None:
    with pytest.raises(SinkError, match=r'"format": "ogg".* -o speech\.ogg http://127\.0\.0\.1:8000/stream'):
        open_sink(str(tmp_path / "speech.ogg"), raw=False)


def test_unwritable_folder_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    with pytest.raises(SinkError, match="is not writable: choose another place with -o"):
        open_sink(str(tmp_path / "out.wav"), raw=False)


def test_no_output_means_playing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sounddevice", None)
    with pytest.raises(NoSound, match="write a file instead"):
        open_sink(None, raw=False)

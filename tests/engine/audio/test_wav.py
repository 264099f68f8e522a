import io
import os
import subprocess
import sys
import wave
from pathlib import Path

import numpy as np
import pytest

from sayline_tts.engine.audio.recording import read_audio
from sayline_tts.engine.audio.wav import WavWriter

FRAME = np.linspace(-0.5, 0.5, 1920, dtype=np.float32)


def test_closed_file_has_the_samples_and_true_length(tmp_path: Path) -> None:
    path = tmp_path / "out.wav"
    with WavWriter(path) as writer:
        for _ in range(10):
            writer.write(FRAME)
    assert writer.samples_written == 19_200
    with wave.open(str(path)) as file:
        assert file.getparams()[:4] == (1, 2, 24_000, 19_200)
        assert len(file.readframes(-1)) == 2 * 19_200
    assert path.stat().st_size == 44 + 2 * 19_200
    assert np.abs(read_audio(path) - np.tile(FRAME, 10)).max() <= 0.5 / 32768


def test_written_samples_are_read_back_exactly(tmp_path: Path) -> None:
    exact = (np.arange(-32768, 32768) / 32768).astype(np.float32)
    with WavWriter(tmp_path / "all.wav") as writer:
        writer.write(exact)
    assert np.array_equal(read_audio(tmp_path / "all.wav"), exact)


def test_samples_beyond_full_scale_are_clipped() -> None:
    stream = io.BytesIO()
    with WavWriter(stream) as writer:
        writer.write(np.array([1.5, -1.5, np.inf, -np.inf, np.nan, 1.0]))
    assert np.frombuffer(stream.getvalue()[44:], "<i2").tolist() == [32767, -32768, 32767, -32768, 0, 32767]


def test_halves_are_rounded_to_even() -> None:
    stream = io.BytesIO()
    with WavWriter(stream) as writer:
        writer.write(np.array([0.5, 1.5, 2.5, -0.5, -1.5]) / 32768)
    assert np.frombuffer(stream.getvalue()[44:], "<i2").tolist() == [0, 2, 2, 0, -2]


def test_stream_is_left_open_and_earlier_content_is_kept() -> None:
    stream = io.BytesIO()
    stream.write(b"before")
    with WavWriter(stream, 8_000) as writer:
        writer.write(FRAME)
    assert stream.tell() == 6 + 44 + 2 * 1920
    with wave.open(io.BytesIO(stream.getvalue()[6:])) as file:
        assert (file.getframerate(), file.getnframes()) == (8_000, 1920)


def test_closing_twice_is_harmless(tmp_path: Path) -> None:
    stream = io.BytesIO()
    for writer in (WavWriter(stream), WavWriter(tmp_path / "out.wav")):
        writer.write(FRAME)
        writer.close()
        writer.close()
    assert len(stream.getvalue()) == 44 + 2 * 1920


def test_pipe_receives_each_frame_at_once() -> None:
    reader, sink = os.pipe()
    with open(reader, "rb", buffering=0) as received, open(sink, "wb") as stream:
        with WavWriter(stream) as writer:
            writer.write(FRAME)
            assert len(received.read(65_536)) == 44 + 2 * 1920  # before the writer is closed
            writer.write(FRAME)
        assert not stream.closed


def test_audio_from_a_pipe_is_complete() -> None:
    script = (
        "import sys, numpy as np; from sayline_tts.engine.audio.wav import WavWriter\n"
        "with WavWriter(sys.stdout.buffer) as writer: writer.write(np.full(24_000, 0.25))"
    )
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, check=True)
    assert run.stderr == b""
    assert read_audio(run.stdout).tolist() == [0.25] * 24_000


def test_file_of_a_killed_writer_still_plays(tmp_path: Path) -> None:
    script = (
        "import os, sys, pathlib, numpy as np; from sayline_tts.engine.audio.wav import WavWriter\n"
        "writer = WavWriter(pathlib.Path(sys.argv[1]))\n"
        "for _ in range(10): writer.write(np.full(1920, 0.25))\n"
        "os.kill(os.getpid(), 9)"
    )
    path = tmp_path / "killed.wav"
    run = subprocess.run([sys.executable, "-c", script, str(path)], check=False)
    assert run.returncode == -9
    assert read_audio(path).tolist() == [0.25] * 19_200
    with wave.open(str(path)) as file:  # readers that trust the header request more than there is
        assert len(file.readframes(file.getnframes())) == 2 * 19_200


def test_os_errors_are_raised(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        WavWriter(tmp_path / "no folder" / "out.wav")

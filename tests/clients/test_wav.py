import io
import os
import wave
from pathlib import Path
from typing import BinaryIO, cast

from sayline.wav import HEADER_BYTES, MAX_BYTES, WavWriter, header, write_all

PCM = bytes(range(256)) * 15  # 80 ms


def test_wav_file_is_complete_after_every_write(tmp_path: Path) -> None:
    with (tmp_path / "out.wav").open("wb", buffering=0) as stream:
        writer = WavWriter(cast(BinaryIO, stream), 24_000)
        for count in range(4):
            with wave.open(str(tmp_path / "out.wav")) as file:
                assert file.getparams()[:4] == (1, 2, 24_000, count * 1920)
                assert file.readframes(10**6) == PCM * count
            writer.write(PCM)


def test_pipe_gets_a_header_of_unlimited_size(tmp_path: Path) -> None:
    reading, writing = os.pipe()
    with os.fdopen(reading, "rb") as out, os.fdopen(writing, "wb", buffering=0) as stream:
        WavWriter(cast(BinaryIO, stream), 24_000).write(PCM)
        got = out.read(HEADER_BYTES + len(PCM))
    assert got == header(24_000, MAX_BYTES) + PCM
    assert got[:4] == b"RIFF"
    assert got[40:44] == b"\xff\xff\xff\xff"


def test_existing_data_before_the_header_is_kept() -> None:
    stream = io.BytesIO()
    stream.write(b"before")
    WavWriter(stream, 24_000).write(PCM)
    assert stream.getvalue() == b"before" + header(24_000, len(PCM)) + PCM


def test_partial_writes_are_completed() -> None:
    class Slow(io.BytesIO):
        def write(self, data: memoryview) -> int:  # type: ignore[override]
            return super().write(data[:7])

    stream = Slow()
    write_all(stream, PCM)
    assert stream.getvalue() == PCM

import io
import os
import wave
from pathlib import Path
from typing import BinaryIO, cast

from sayline.wav import HEADER_BYTES, MAX_BYTES, WavWriter, header, write_all

PCM = bytes(range(256)) * 15  # 80 ms


def test_a_file_is_whole_after_every_write(tmp_path: Path) -> None:
    with (tmp_path / "out.wav").open("wb", buffering=0) as stream:
        writer = WavWriter(cast(BinaryIO, stream), 24_000)
        for count in range(4):
            with wave.open(str(tmp_path / "out.wav")) as file:
                assert file.getparams()[:4] == (1, 2, 24_000, count * 1920)
                assert file.readframes(10**6) == PCM * count
            writer.write(PCM)


def test_a_pipe_gets_a_header_without_an_end(tmp_path: Path) -> None:
    reading, writing = os.pipe()
    with os.fdopen(reading, "rb") as out, os.fdopen(writing, "wb", buffering=0) as stream:
        WavWriter(cast(BinaryIO, stream), 24_000).write(PCM)
        got = out.read(HEADER_BYTES + len(PCM))
    assert got == header(24_000, MAX_BYTES) + PCM
    assert got[:4] == b"RIFF"
    assert got[40:44] == b"\xff\xff\xff\xff"


def test_a_file_that_already_holds_something_keeps_it() -> None:
    stream = io.BytesIO()
    stream.write(b"before")
    WavWriter(stream, 24_000).write(PCM)
    assert stream.getvalue() == b"before" + header(24_000, len(PCM)) + PCM


def test_a_stream_that_takes_a_part_at_a_time_gets_all() -> None:
    class Slow(io.BytesIO):
        def write(self, data: memoryview) -> int:  # type: ignore[override]
            return super().write(data[:7])

    stream = Slow()
    write_all(stream, PCM)
    assert stream.getvalue() == PCM

"""Write a WAV file (16 bits, mono) incrementally.

The header of a file is updated after every write, so that the file is always complete. The header of a pipe cannot be
updated: it states the largest sizes, which players treat as "until the end".
"""

import struct
from typing import BinaryIO

HEADER_BYTES = 44
MAX_BYTES = 2**32 - 1  # limit of a size field: 24 hours


class WavWriter:
    """Writes 16-bit little-endian PCM to an unbuffered binary stream at its current position. Raises `OSError`."""

    def __init__(self, stream: BinaryIO, sample_rate_hz: int) -> None:
        self._stream = stream
        self._sample_rate_hz = sample_rate_hz
        self._data_bytes = 0
        self._start = stream.tell() if stream.seekable() else None
        write_all(stream, header(sample_rate_hz, MAX_BYTES if self._start is None else 0))

    def write(self, pcm: bytes) -> None:
        write_all(self._stream, pcm)
        self._data_bytes += len(pcm)
        if self._start is not None:
            self._stream.seek(self._start)
            write_all(self._stream, header(self._sample_rate_hz, self._data_bytes))
            self._stream.seek(0, 2)


def write_all(stream: BinaryIO, data: bytes) -> None:
    """Write everything: an unbuffered stream may accept only a part."""
    view = memoryview(data)
    while view:
        view = view[stream.write(view) :]


def header(sample_rate_hz: int, data_bytes: int) -> bytes:
    data_bytes = min(data_bytes, MAX_BYTES)
    riff_bytes = min(data_bytes + HEADER_BYTES - 8, MAX_BYTES)
    layout = struct.pack("<HHIIHH", 1, 1, sample_rate_hz, 2 * sample_rate_hz, 2, 16)  # PCM, one channel
    return struct.pack("<4sI4s4sI16s4sI", b"RIFF", riff_bytes, b"WAVE", b"fmt ", 16, layout, b"data", data_bytes)

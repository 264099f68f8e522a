"""Streaming WAV writer: 16 bits, mono.

The header first states the largest possible sizes, so that a file whose writer was killed still plays to its end; if
the stream can seek, closing it writes the true sizes. The standard library's `wave` can do neither: its header states
"no samples" until it is closed, and it cannot close a pipe.
"""

import contextlib
import struct
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, Self

import numpy.typing as npt

from sayline_tts.engine.audio.recording import SAMPLE_RATE_HZ, to_pcm

MAX_BYTES = 2**32 - 1  # the largest value of a size field: 24 hours of audio
HEADER_BYTES = 44


class WavWriter:
    """Write to a path, which is opened and closed here, or to a binary stream such as stdout, which is left open.

    Each write is flushed at once. Raises the stream's `OSError`.
    """

    def __init__(self, target: Path | BinaryIO, sample_rate_hz: int = SAMPLE_RATE_HZ) -> None:
        self.sample_rate_hz = sample_rate_hz
        self.samples_written = 0
        self._owns_stream = isinstance(target, Path)
        self._stream: BinaryIO = target.open("wb") if isinstance(target, Path) else target
        try:
            self._start = self._stream.tell() if self._stream.seekable() else None
            self._stream.write(self._header(MAX_BYTES))
            self._stream.flush()
        except BaseException:  # for example, the disk is full
            if self._owns_stream:
                with contextlib.suppress(OSError):
                    self._stream.close()
            raise

    def write(self, samples: npt.NDArray[Any]) -> None:
        """Append floats `[samples]`, full scale at 1; they are clipped and rounded to 16 bits."""
        self._stream.write(to_pcm(samples))
        self._stream.flush()
        self.samples_written += len(samples)

    def close(self) -> None:
        """Write the true sizes into the header, if the stream can seek. Closing again does nothing."""
        if self._stream.closed:
            return
        try:
            if self._start is not None:
                self._patch_header(self._start)
            self._stream.flush()
        finally:
            self._start = None
            if self._owns_stream:
                self._stream.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _patch_header(self, start: int) -> None:
        end = self._stream.tell()
        self._stream.seek(start)
        self._stream.write(self._header(2 * self.samples_written))
        self._stream.seek(end)

    def _header(self, data_bytes: int) -> bytes:
        data_bytes = min(data_bytes, MAX_BYTES)
        riff_bytes = min(data_bytes + HEADER_BYTES - 8, MAX_BYTES)
        rate_hz = self.sample_rate_hz
        riff = struct.pack("<4sI4s", b"RIFF", riff_bytes, b"WAVE")
        fmt = struct.pack("<4sIHHIIHH", b"fmt ", 16, 1, 1, rate_hz, 2 * rate_hz, 2, 16)  # PCM, one channel
        return riff + fmt + struct.pack("<4sI", b"data", data_bytes)

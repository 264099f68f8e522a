"""A WAV file written while it is spoken: 16 bits, mono. Knows nothing of where the samples come from.

The header first names the largest sizes, so that a file whose writer was killed still plays to its end; on a
file that can seek, closing puts in the true ones. The standard library's `wave` can do neither: its header
says "no samples" until it is closed, and it cannot close a pipe.
"""

import contextlib
import struct
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, Self

import numpy.typing as npt

from sayline_tts.engine.audio.recording import SAMPLE_RATE_HZ, to_pcm

MAX_BYTES = 2**32 - 1  # what a size field holds: 24 hours
HEADER_BYTES = 44


class WavWriter:
    """Writes to a path (opened and closed here) or to a binary stream, such as standard output (left open).

    Each write reaches the file or the pipe at once. Raises the stream's own `OSError`.
    """

    def __init__(self, target: Path | BinaryIO, sample_rate_hz: int = SAMPLE_RATE_HZ) -> None:
        self.sample_rate_hz = sample_rate_hz
        self.samples_written = 0
        self._owned = isinstance(target, Path)
        self._stream: BinaryIO = target.open("wb") if isinstance(target, Path) else target
        try:
            self._start = self._stream.tell() if self._stream.seekable() else None
            self._stream.write(self._header(MAX_BYTES))
            self._stream.flush()
        except BaseException:  # a full disk, say
            if self._owned:
                with contextlib.suppress(OSError):
                    self._stream.close()
            raise

    def write(self, samples: npt.NDArray[Any]) -> None:
        """Append floats `[samples]`, full scale at 1: clipped, and rounded to the nearest step."""
        self._stream.write(to_pcm(samples))
        self._stream.flush()
        self.samples_written += len(samples)

    def close(self) -> None:
        """Put the true sizes into the header where that can be done. Closing again does nothing."""
        if self._stream.closed:
            return
        try:
            if self._start is not None:
                self._patch(self._start)
            self._stream.flush()
        finally:
            self._start = None
            if self._owned:
                self._stream.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _patch(self, start: int) -> None:
        end = self._stream.tell()
        self._stream.seek(start)
        self._stream.write(self._header(2 * self.samples_written))
        self._stream.seek(end)

    def _header(self, data_bytes: int) -> bytes:
        data_bytes = min(data_bytes, MAX_BYTES)
        riff_bytes = min(data_bytes + HEADER_BYTES - 8, MAX_BYTES)
        rate_hz = self.sample_rate_hz
        head = struct.pack("<4sI4s", b"RIFF", riff_bytes, b"WAVE")
        layout = struct.pack("<4sIHHIIHH", b"fmt ", 16, 1, 1, rate_hz, 2 * rate_hz, 2, 16)  # PCM, one channel
        return head + layout + struct.pack("<4sI", b"data", data_bytes)

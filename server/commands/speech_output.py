"""Output of `sayline generate`: a WAV file, or standard output as WAV or raw samples."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from sayline_tts.engine.errors import InputError

if TYPE_CHECKING:
    import numpy.typing as npt

    from sayline_tts.engine.audio.wav import WavWriter

OTHER_AUDIO_SUFFIXES = {".aac", ".flac", ".m4a", ".mp3", ".mp4", ".oga", ".ogg", ".opus", ".webm"}


class OutputError(InputError):
    code = "bad_output"


class SpeechOutput:
    """An output for samples; `path` None: standard output. Raises `OutputError` if it is unusable, before writing.

    `BrokenPipeError` is passed on to the caller, because a closed pipe is not an error.
    """

    def __init__(self, path: Path | None, raw: bool = False) -> None:
        self.name = "standard output" if path is None else str(path)
        self._path, self._raw = path, raw
        self._wav: WavWriter | None = None
        if path is not None:
            _check_path(path)
        elif sys.stdout.isatty():
            raise OutputError("standard output is a terminal; redirect it to a file or program (| aplay), or use -o")

    @classmethod
    def parse(cls, output: str | None, stream: bool) -> Self:
        """An output for the values of `--output` and `--stream`. Raises `OutputError`."""
        if stream and output is not None:
            raise OutputError("--stream writes to standard output, so it excludes --output; give only one of them")
        if stream or output == "-":
            return cls(None, raw=stream)
        return cls(Path(output or "speech.wav").expanduser())

    @contextmanager
    def opened(self, sample_rate_hz: int) -> Iterator[None]:
        """Open the output for writing. However the block ends, a WAV file has a valid header."""
        from sayline_tts.engine.audio.wav import WavWriter

        with self._output_errors():
            stream = self._path.open("wb") if self._path else sys.stdout.buffer
        try:
            if not self._raw:
                with self._output_errors():
                    self._wav = WavWriter(stream, sample_rate_hz)
            yield
        finally:
            with self._output_errors(), stream if self._path else nullcontext():
                if self._wav is not None:
                    self._wav.close()

    def write(self, samples: "npt.NDArray[Any]") -> None:
        """Write floats `[samples]`, full scale at 1, and flush them."""
        from sayline_tts.engine.audio.recording import to_pcm

        with self._output_errors():
            if self._wav is not None:
                self._wav.write(samples)
            else:
                sys.stdout.buffer.write(to_pcm(samples))
                sys.stdout.buffer.flush()

    @contextmanager
    def _output_errors(self) -> Iterator[None]:
        try:
            yield
        except BrokenPipeError:
            raise
        except OSError as error:
            raise OutputError(
                f"cannot write to {self.name} ({error.strerror or error}); choose another --output"
            ) from None


def _check_path(path: Path) -> None:
    folder = path.parent
    if path.is_dir():
        raise OutputError(f"--output {path} is a folder; give a file in it, such as {path / 'speech.wav'}")
    if path.suffix.lower() in OTHER_AUDIO_SUFFIXES:
        raise OutputError(f"--output {path.name} has the suffix of another format than WAV; use {path.stem}.wav")
    if not folder.is_dir():
        problem = "is a file, not a folder" if folder.exists() else "does not exist"
        raise OutputError(f"folder {folder} {problem}; create it (mkdir -p), or choose another --output")
    if not os.access(path if path.exists() else folder, os.W_OK):
        raise OutputError(f"no permission to write {path}; choose another --output")

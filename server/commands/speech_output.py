"""Where generated speech goes: a WAV file, or standard output as WAV or as bare samples. Knows nothing of text."""

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

OTHER_FORMATS = {".aac", ".flac", ".m4a", ".mp3", ".mp4", ".oga", ".ogg", ".opus", ".webm"}


class OutputError(InputError):
    code = "bad_output"


class SpeechOutput:
    """`path` None is standard output. Raises `OutputError` at once for what cannot be written to; touches nothing yet.

    A closed pipe is no mistake: its `BrokenPipeError` goes on to the caller.
    """

    def __init__(self, path: Path | None, raw: bool = False) -> None:
        self.name = "standard output" if path is None else str(path)
        self._path, self._raw = path, raw
        self._wav: WavWriter | None = None
        if path is not None:
            _check_path(path)
        elif sys.stdout.isatty():
            raise OutputError("standard output is this terminal; send it to a file or a program (| aplay), or use -o")

    @classmethod
    def parse(cls, output: str | None, stream: bool) -> Self:
        """From the values of `--output` and `--stream`."""
        if stream and output is not None:
            raise OutputError("--stream writes to standard output; leave out --output, or leave out --stream")
        if stream or output == "-":
            return cls(None, raw=stream)
        return cls(Path(output or "speech.wav").expanduser())

    @contextmanager
    def opened(self, sample_rate_hz: int) -> Iterator[None]:
        """A file that was there before is written over. However this ends, what was written by then plays."""
        from sayline_tts.engine.audio.wav import WavWriter

        with self._explained():
            stream = self._path.open("wb") if self._path else sys.stdout.buffer
        try:
            if not self._raw:
                with self._explained():
                    self._wav = WavWriter(stream, sample_rate_hz)
            yield
        finally:
            with self._explained(), stream if self._path else nullcontext():
                if self._wav is not None:
                    self._wav.close()

    def write(self, samples: "npt.NDArray[Any]") -> None:
        """Floats `[samples]`, full scale at 1; they are out when this returns."""
        from sayline_tts.engine.audio.recording import to_pcm

        with self._explained():
            if self._wav is not None:
                self._wav.write(samples)
            else:
                sys.stdout.buffer.write(to_pcm(samples))
                sys.stdout.buffer.flush()

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except BrokenPipeError:
            raise
        except OSError as error:
            raise OutputError(
                f"cannot write to {self.name} ({error.strerror or error}); choose another place"
            ) from None


def _check_path(path: Path) -> None:
    folder = path.parent
    if path.is_dir():
        raise OutputError(f"{path} is a folder; name a file in it, such as {path / 'speech.wav'}")
    if path.suffix.lower() in OTHER_FORMATS:
        raise OutputError(f"speech is written as WAV only, so {path.name} would mislead; call it {path.stem}.wav")
    if not folder.is_dir():
        what = "is a file, not a folder" if folder.exists() else "does not exist"
        raise OutputError(f"the folder {folder} {what}; make it first (mkdir -p), or choose another --output")
    if not os.access(path if path.exists() else folder, os.W_OK):
        raise OutputError(f"{path} cannot be written: you have no right to; choose another --output")

"""Where the sound goes: a file, standard output, the sound device. Knows nothing of servers. Every call may block."""

import os
import sys
from pathlib import Path
from typing import Any, BinaryIO, Protocol

from sayline.errors import SaylineError
from sayline.wav import WavWriter, write_all

OTHERWISE = "write a file instead, with -o speech.wav"


class SinkError(SaylineError):
    """The sound cannot go where it was sent."""


class Sink(Protocol):
    name: str

    @property
    def played_ms(self) -> float | None:
        """How much of what was written has been heard; None where nobody listens."""

    def open(self, sample_rate_hz: int) -> None:
        """Once, before the first frame. Nothing on disk is touched earlier."""

    def write(self, pcm: bytes) -> None: ...

    def close(self, now: bool) -> None:
        """`now`: what was written and not heard yet is dropped."""


class FileSink:
    """A WAV file, or the bare samples with `raw`."""

    played_ms = None

    def __init__(self, path: Path, raw: bool) -> None:
        self.name = str(path)
        self._path = path
        self._raw = raw
        self._stream: BinaryIO | None = None
        self._wav: WavWriter | None = None
        check_writable(path)

    def open(self, sample_rate_hz: int) -> None:
        # Unbuffered: a frame is in the file as soon as it is there, whatever happens to us next.
        self._stream = self._path.open("wb", buffering=0)
        self._wav = None if self._raw else WavWriter(self._stream, sample_rate_hz)

    def write(self, pcm: bytes) -> None:
        assert self._stream is not None
        if self._wav is None:
            write_all(self._stream, pcm)
        else:
            self._wav.write(pcm)

    def close(self, now: bool) -> None:
        if self._stream is not None:
            self._stream.close()


class StandardOutputSink(FileSink):
    def __init__(self, raw: bool) -> None:
        if sys.stdout.isatty():
            raise SinkError("standard output is this terminal: send it to a program or a file, or give -o a file name")
        super().__init__(Path("/dev/stdout"), raw)
        self.name = "standard output"

    def open(self, sample_rate_hz: int) -> None:
        self._stream = os.fdopen(os.dup(sys.stdout.fileno()), "wb", buffering=0)
        self._wav = None if self._raw else WavWriter(self._stream, sample_rate_hz)


class SoundDeviceSink:
    """Plays through the `sounddevice` package. Writing blocks while the device has enough."""

    name = "the sound device"

    def __init__(self) -> None:
        self._stream: Any = None
        self._sounddevice = find_sound_device()
        self._sample_rate_hz = 0
        self._written_samples = 0

    @property
    def played_ms(self) -> float | None:
        if self._stream is None:
            return 0.0
        unheard_s: float = self._stream.latency
        return max(0.0, self._written_samples * 1000 / self._sample_rate_hz - unheard_s * 1000)

    def open(self, sample_rate_hz: int) -> None:
        try:
            self._stream = self._sounddevice.RawOutputStream(samplerate=sample_rate_hz, channels=1, dtype="int16")
            self._stream.start()
            self._sample_rate_hz = sample_rate_hz
        except self._sounddevice.PortAudioError as error:
            raise SinkError(f"the sound device cannot be opened ({error}): {OTHERWISE}") from error

    def write(self, pcm: bytes) -> None:
        try:
            self._stream.write(pcm)
            self._written_samples += len(pcm) // 2
        except self._sounddevice.PortAudioError as error:
            raise SinkError(f"the sound device is gone ({error}): {OTHERWISE}") from error

    def close(self, now: bool) -> None:
        if self._stream is not None:
            self._stream.abort() if now else self._stream.stop()
            self._stream.close()


def open_sink(output: str | None, raw: bool) -> Sink:
    """The sink for what `-o` says. Raises `SinkError`, before anything is sent to a server."""
    if output is None:
        return SoundDeviceSink()
    return StandardOutputSink(raw) if output == "-" else FileSink(Path(output), raw)


def check_writable(path: Path) -> None:
    target = path if path.exists() else path.parent
    if path.is_dir():
        raise SinkError(f"{path} is a folder: give -o the name of a file in it")
    if not target.exists():
        raise SinkError(f"there is no folder {path.parent}: make it first, or write elsewhere")
    if not os.access(target, os.W_OK):
        raise SinkError(f"{target} cannot be written to: write elsewhere with -o")


def find_sound_device() -> Any:
    """The `sounddevice` module, when it has a device to play on."""
    try:
        import sounddevice
    except ImportError as error:
        raise SinkError(f"playing needs the sounddevice package: pip install sounddevice, or {OTHERWISE}") from error
    except OSError as error:  # the package is there, the library under it is not
        raise SinkError(f"playing needs PortAudio ({error}): install libportaudio2, or {OTHERWISE}") from error
    try:
        sounddevice.query_devices(kind="output")
    except (sounddevice.PortAudioError, ValueError) as error:
        raise SinkError(f"no sound device here ({error}): {OTHERWISE}") from error
    return sounddevice

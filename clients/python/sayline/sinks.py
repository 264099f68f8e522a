"""Output of the command line: a file, standard output, or the audio device."""

import asyncio
import os
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import BinaryIO, Protocol

from sayline.context import Context
from sayline.errors import SaylineError
from sayline.frame import Frame
from sayline.inbox import Event
from sayline.messages import Format
from sayline.player import Player
from sayline.wav import WavWriter, write_all

FILE_LEAD_MS = 60_000.0  # a file is not played in real time, so the server may run ahead
RAW_SUFFIXES = (".raw", ".pcm")
WAV_SUFFIXES = (".wav", "")

OnEvent = Callable[[Event], None]


class SinkError(SaylineError):
    """The output cannot be written."""


class Sink(Protocol):
    name: str
    format: Format | None  # to request from the server
    max_lead_ms: float | None

    async def take(self, speech: Context, on_event: OnEvent) -> None:
        """Consume a context and pass every event to `on_event`. Cancelling keeps the audio received so far."""


class FileSink:
    """A WAV file, or raw samples with `raw`."""

    format: Format | None = "pcm"
    max_lead_ms: float | None = FILE_LEAD_MS

    def __init__(self, path: Path, raw: bool) -> None:
        self.name = str(path)
        self._path = path
        self._raw = raw
        self._stream: BinaryIO | None = None
        self._wav: WavWriter | None = None
        check_writable(path)

    async def take(self, speech: Context, on_event: OnEvent) -> None:
        """Consume a context. The file is opened with the first frame."""
        loop = asyncio.get_running_loop()
        thread = ThreadPoolExecutor(1)  # a single thread, so that closing waits for writes
        try:
            async for event in speech:
                on_event(event)
                if isinstance(event, Frame):
                    await loop.run_in_executor(thread, self._write, event.pcm, speech.sample_rate_hz)
        finally:
            await loop.run_in_executor(thread, self._close)
            thread.shutdown(wait=False)

    def open(self) -> BinaryIO:
        # Unbuffered: a frame is in the file at once, even if this process is killed.
        return self._path.open("wb", buffering=0)

    def _write(self, pcm: bytes, sample_rate_hz: int) -> None:
        try:
            if self._stream is None:
                self._stream = self.open()
                self._wav = None if self._raw else WavWriter(self._stream, sample_rate_hz)
            if self._wav is None:
                write_all(self._stream, pcm)
            else:
                self._wav.write(pcm)
        except BrokenPipeError as error:
            raise SinkError("the program that reads the output has exited") from error
        except OSError as error:
            raise SinkError(f"could not write to {self.name}: {error.strerror or error}") from error

    def _close(self) -> None:
        if self._stream is not None:
            self._stream.close()


class StandardOutputSink(FileSink):
    def __init__(self, raw: bool) -> None:
        if sys.stdout.isatty():
            raise SinkError("standard output is a terminal: redirect it, or use -o with a file name")
        super().__init__(Path("/dev/stdout"), raw)
        self.name = "standard output"

    def open(self) -> BinaryIO:
        return os.fdopen(os.dup(sys.stdout.fileno()), "wb", buffering=0)


class PlayerSink:
    """The audio device: speech is played as it arrives."""

    name = "the audio device"
    format: Format | None = None
    max_lead_ms: float | None = None

    def __init__(self, player: Player) -> None:
        self._player = player

    async def take(self, speech: Context, on_event: OnEvent) -> None:
        async with self._player as player:
            await player.play(speech, on_event)


def open_sink(output: str | None, raw: bool) -> Sink:
    """Return the sink for the value of `-o`. Raises `SaylineError` before a server is contacted."""
    if output is None:
        return PlayerSink(Player())
    if output == "-":
        return StandardOutputSink(raw)
    path = Path(output)
    check_suffix(path)
    return FileSink(path, raw or path.suffix.lower() in RAW_SUFFIXES)


def check_suffix(path: Path) -> None:
    suffix = path.suffix.lower()
    if suffix not in (*WAV_SUFFIXES, *RAW_SUFFIXES):
        example = f'curl -d \'{{"text": "Hello.", "format": "{suffix[1:]}"}}\' -H "Content-Type: application/json"'
        raise SinkError(
            f"-o writes .wav and .raw files; request other formats from the server: "
            f"{example} -o {path.name} http://127.0.0.1:8000/stream"
        )


def check_writable(path: Path) -> None:
    target = path if path.exists() else path.parent
    if path.is_dir():
        raise SinkError(f"{path} is a folder: give -o the name of a file")
    if not target.exists():
        raise SinkError(f"the folder {path.parent} does not exist: create it, or choose another with -o")
    if not os.access(target, os.W_OK):
        raise SinkError(f"{target} is not writable: choose another place with -o")

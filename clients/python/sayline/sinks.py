"""Where the speech of the command line goes: a file, standard output, the sound device. Knows nothing of servers."""

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

FILE_LEAD_MS = 60_000.0  # a file is not listened to while it is made: let the server run
RAW_SUFFIXES = (".raw", ".pcm")
WAV_SUFFIXES = (".wav", "")

OnEvent = Callable[[Event], None]


class SinkError(SaylineError):
    """The sound cannot go where it was sent."""


class Sink(Protocol):
    name: str
    format: Format | None  # to ask of the server
    max_lead_ms: float | None

    async def take(self, speech: Context, on_event: OnEvent) -> None:
        """All of a context, every event of which is told. Cancelling leaves what had come."""


class FileSink:
    """A WAV file, or the bare samples with `raw`."""

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
        """Nothing on disk is touched before the first frame."""
        loop = asyncio.get_running_loop()
        thread = ThreadPoolExecutor(1)  # one, so that nothing is closed while it is written to
        try:
            async for event in speech:
                on_event(event)
                if isinstance(event, Frame):
                    await loop.run_in_executor(thread, self._write, event.pcm, speech.sample_rate_hz)
        finally:
            await loop.run_in_executor(thread, self._close)
            thread.shutdown(wait=False)

    def open(self) -> BinaryIO:
        # Unbuffered: a frame is in the file as soon as it is there, whatever happens to us next.
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
            raise SinkError("the program that the speech went to has stopped reading") from error
        except OSError as error:
            raise SinkError(f"could not write to {self.name}: {error.strerror or error}") from error

    def _close(self) -> None:
        if self._stream is not None:
            self._stream.close()


class StandardOutputSink(FileSink):
    def __init__(self, raw: bool) -> None:
        if sys.stdout.isatty():
            raise SinkError("standard output is this terminal: send it to a program or a file, or give -o a file name")
        super().__init__(Path("/dev/stdout"), raw)
        self.name = "standard output"

    def open(self) -> BinaryIO:
        return os.fdopen(os.dup(sys.stdout.fileno()), "wb", buffering=0)


class PlayerSink:
    """The sound device, where it is heard while it comes."""

    name = "the sound device"
    format: Format | None = None
    max_lead_ms: float | None = None

    def __init__(self, player: Player) -> None:
        self._player = player

    async def take(self, speech: Context, on_event: OnEvent) -> None:
        async with self._player as player:
            await player.play(speech, on_event)


def open_sink(output: str | None, raw: bool) -> Sink:
    """The sink for what `-o` says. Raises `SaylineError`, before anything is sent to a server."""
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
            f"this writes .wav and .raw files; other formats come from the server itself, as from "
            f"{example} -o {path.name} http://127.0.0.1:8000/stream"
        )


def check_writable(path: Path) -> None:
    target = path if path.exists() else path.parent
    if path.is_dir():
        raise SinkError(f"{path} is a folder: give -o the name of a file in it")
    if not target.exists():
        raise SinkError(f"there is no folder {path.parent}: make it first, or write elsewhere")
    if not os.access(target, os.W_OK):
        raise SinkError(f"{target} cannot be written to: write elsewhere with -o")

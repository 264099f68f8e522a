"""Decode an untrusted audio file, up to the length that a voice prompt needs.

Only plain audio containers are opened (`FORMATS`), FFmpeg never sees the file's name (so it cannot interpret it as a
URL), and decoding stops soon after the limit, whatever the header declares.
"""

import io
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO

import av
import numpy as np
import numpy.typing as npt
from av.container import InputContainer

from sayline_tts.engine.audio.bundled_libs import limit_allocations
from sayline_tts.engine.errors import VoiceError

# Without this list, an "ffconcat" upload would read local files, and an SDP upload would open sockets.
FORMATS = "wav,w64,flac,mp3,ogg,mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,aac,aiff,caf,au,amr"
# Codecs that FFmpeg may decode while probing. No pictures: the cover of a 2 MB MP3 can unpack to 400 MB of pixels.
PROBE_CODECS = "aac,mp3,mp3float,flac,alac,opus,libopus,vorbis,amrnb,amrwb"
OPEN_OPTIONS = {"format_whitelist": FORMATS, "protocol_whitelist": "none", "codec_whitelist": PROBE_CODECS}

# Scale factors of FFmpeg's sample formats. 1/32768 is exact, so a 16-bit WAV gives the same floats as the reference.
FULL_SCALE = {"u8": 1 / 2**7, "s16": 1 / 2**15, "s32": 1 / 2**31, "flt": 1.0, "dbl": 1.0}

# 30 s in the shortest Opus packets are 12,000 packets. Packets without audio add no duration, but take time.
MAX_PACKETS = 50_000
MIN_RATE_HZ = 8_000  # telephone quality; lower rates lose the consonants
MAX_RATE_HZ = 192_000  # the resampling filter grows with the rate; 30 s of audio take up to 0.7 s at this limit
RECORDING_HINT = "give 5 to 30 s of clear speech as WAV, FLAC, MP3, Ogg, WebM or M4A"


@dataclass(frozen=True)
class DecodedAudio:
    samples: npt.NDArray[np.float32]  # [channels, samples], ends soon after the limit
    rate_hz: int
    bits: int  # per decoded sample: 8, 16, 32 or 64
    declared_seconds: float | None  # length of the whole file, if the container states it


def decode_file(source: Path | bytes, name: str, max_seconds: float) -> DecodedAudio:
    """Decode the first audio stream, skipping damaged packets. Raises `VoiceError`, with `name`, if nothing is left."""
    limit_allocations()
    with _open_source(source, name) as file:
        try:
            container = av.open(file, "r", options=OPEN_OPTIONS, metadata_errors="ignore")
        except (av.FFmpegError, ValueError) as error:
            raise VoiceError(f"{name} is damaged, or not in a supported audio format; {RECORDING_HINT}.") from error
        with container:
            return _decode(container, name, max_seconds)


def check_format(channels: int, rate_hz: int, name: str) -> None:
    """Reject formats that a voice cannot be cloned from, before allocating memory. Raises `VoiceError`."""
    if channels not in (1, 2):
        # Mixing down surround sound or a microphone array would add echoes; the user has to choose.
        raise VoiceError(f"{name} has {channels} channels; keep one of them, or mix it down to mono or stereo.")
    if rate_hz < MIN_RATE_HZ:
        raise VoiceError(
            f"{name} is sampled at {rate_hz} Hz, which is too low to clone a voice from; "
            f"give a recording of {MIN_RATE_HZ} Hz or more, preferably 24000 Hz."
        )
    if rate_hz > MAX_RATE_HZ:
        raise VoiceError(f"{name} is sampled at {rate_hz} Hz; convert it to 48000 Hz or less.")


def _open_source(source: Path | bytes, name: str) -> BinaryIO:
    if isinstance(source, bytes):
        if not source:
            raise VoiceError(f"{name} is empty; {RECORDING_HINT}.")
        return io.BytesIO(source)
    try:
        status = source.stat()
        if stat.S_ISDIR(status.st_mode):
            raise VoiceError(f"{source} is a folder; name an audio file in it.")
        if not stat.S_ISREG(status.st_mode):  # opening a pipe or a device could block forever
            raise VoiceError(f"{source} is not a regular file; save the audio to a file first.")
        if status.st_size == 0:
            raise VoiceError(f"{source} is empty; {RECORDING_HINT}.")
        return open(os.open(source, os.O_RDONLY), "rb")  # by descriptor: FFmpeg would interpret the name
    except FileNotFoundError:
        raise VoiceError(f"{source} does not exist; check the path of the voice file.") from None
    except (OSError, ValueError) as error:  # ValueError: a NUL in the path
        reason = os.strerror(error.errno) if isinstance(error, OSError) and error.errno else str(error)
        raise VoiceError(f"{str(source)!r} cannot be opened ({reason}); check its path and permissions.") from None


def _decode(container: InputContainer, name: str, max_seconds: float) -> DecodedAudio:
    if not container.streams.audio:
        raise VoiceError(f"{name} contains no audio; {RECORDING_HINT}.")
    first: av.AudioFrame | None = None
    kept: list[npt.NDArray[np.float32]] = []
    seconds = 0.0
    for frame in _frames(container):
        if first is None:
            first = frame
            check_format(frame.layout.nb_channels, frame.sample_rate, name)
        if _layout(frame) == _layout(first):  # a damaged header can change that of one frame
            kept.append(_to_float(frame, name))
        seconds += frame.samples / max(frame.sample_rate, 1)
        if seconds > max_seconds:
            break
    if first is None:
        raise VoiceError(f"{name} is damaged: nothing in it can be decoded; {RECORDING_HINT}.")
    stated = container.duration / av.time_base if container.duration else None
    return DecodedAudio(np.concatenate(kept, axis=1), first.sample_rate, first.format.bits, stated)


def _frames(container: InputContainer) -> Iterator[av.AudioFrame]:
    """Every frame that decodes: damaged packets are skipped, and a truncated file ends early."""
    packets = islice(container.demux(container.streams.audio[0]), MAX_PACKETS)
    while True:
        try:
            packet = next(packets)
        except (StopIteration, av.FFmpegError):
            return
        try:
            yield from packet.decode()
        except av.FFmpegError:
            continue


def _layout(frame: av.AudioFrame) -> tuple[int, int]:
    return frame.layout.nb_channels, frame.sample_rate


def _to_float(frame: av.AudioFrame, name: str) -> npt.NDArray[np.float32]:
    """`[channels, samples]` float32, full scale at 1."""
    scale = FULL_SCALE.get(frame.format.packed.name)
    if scale is None:
        raise VoiceError(f"{name} has unsupported {frame.format.name} samples; convert it to a 16-bit WAV.")
    raw: npt.NDArray[Any] = frame.to_ndarray()
    if frame.format.is_packed:
        raw = raw.reshape(-1, frame.layout.nb_channels).T
    with np.errstate(over="ignore", invalid="ignore"):  # infinity and NaN are rejected later
        samples = raw.astype(np.float32) * np.float32(scale)
    return samples - 1 if frame.format.packed.name == "u8" else samples

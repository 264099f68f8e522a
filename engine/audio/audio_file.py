"""The audio in a file, decoded as far as a voice prompt needs. Knows nothing of voices, loudness, resampling.

Nothing in a file is trusted: only plain audio containers are opened (`FORMATS`), the file's own name never
reaches FFmpeg (so it cannot be taken for a URL), and decoding stops soon after the limit, whatever the header
says.
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

# Without this list an upload that says "ffconcat" reads local files, and one that is SDP opens sockets.
FORMATS = "wav,flac,mp3,ogg,mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,aac,aiff,amr"
# What FFmpeg may decode while it probes. Never a cover picture: 2 MB of MP3 unpacked into 400 MB of pixels.
PROBE_CODECS = "aac,mp3,mp3float,flac,alac,opus,libopus,vorbis,amrnb,amrwb"
OPTIONS = {"format_whitelist": FORMATS, "protocol_whitelist": "none", "codec_whitelist": PROBE_CODECS}

# Full scale of FFmpeg's sample formats; 1/32768 is exact, so a 16-bit WAV gives the reference's very numbers.
SCALES = {"u8": 1 / 2**7, "s16": 1 / 2**15, "s32": 1 / 2**31, "flt": 1.0, "dbl": 1.0}

# 30 s in the shortest packets of Opus are 12,000. Packets in which nothing is sound add no seconds, but take time.
MAX_PACKETS = 50_000
MIN_RATE_HZ = 8_000  # telephone quality; below it the consonants are gone
MAX_RATE_HZ = 192_000  # the resampling filter grows with the rate: 0.7 s for 30 s of audio at the worst allowed
ADVICE = "give 5 to 30 s of clear speech as WAV, FLAC, MP3, Ogg, WebM or M4A"


@dataclass(frozen=True)
class DecodedAudio:
    samples: npt.NDArray[np.float32]  # [channels, samples], ending soon after the limit
    rate_hz: int
    bits: int  # of one decoded sample: 8, 16, 32 or 64
    stated_seconds: float | None  # the whole length, where the container has it


def decode_file(source: Path | bytes, name: str, max_seconds: float) -> DecodedAudio:
    """Decode the first audio stream, without what is damaged. `VoiceError`, with `name`, if none is left."""
    limit_allocations()
    with _open_source(source, name) as file:
        try:
            container = av.open(file, "r", options=OPTIONS, metadata_errors="ignore")
        except (av.FFmpegError, ValueError) as error:
            raise VoiceError(f"{name} is damaged, or not audio in a format known here; {ADVICE}.") from error
        with container:
            return _decode(container, name, max_seconds)


def check_format(channels: int, rate_hz: int, name: str) -> None:
    """Refuse what no voice can be copied from, before memory is spent on it."""
    if channels not in (1, 2):
        # Mixing surround or a microphone array would give echoes of the voice; the user has to choose
        raise VoiceError(f"{name} has {channels} channels; keep one of them, or mix it down to mono or stereo.")
    if rate_hz < MIN_RATE_HZ:
        raise VoiceError(
            f"{name} is sampled at {rate_hz} Hz, too low a quality to copy a voice from; "
            f"give a recording made at {MIN_RATE_HZ} Hz or more, better 24000 Hz."
        )
    if rate_hz > MAX_RATE_HZ:
        raise VoiceError(f"{name} is sampled at {rate_hz} Hz; convert it to 48000 Hz or less.")


def _open_source(source: Path | bytes, name: str) -> BinaryIO:
    if isinstance(source, bytes):
        if not source:
            raise VoiceError(f"{name} is empty; {ADVICE}.")
        return io.BytesIO(source)
    try:
        status = source.stat()
        if stat.S_ISDIR(status.st_mode):
            raise VoiceError(f"{source} is a folder; name an audio file in it.")
        if not stat.S_ISREG(status.st_mode):  # opening a pipe or a device could wait for ever
            raise VoiceError(f"{source} is not a regular file; save the audio to a file first.")
        if status.st_size == 0:
            raise VoiceError(f"{source} is empty; {ADVICE}.")
        return open(os.open(source, os.O_RDONLY), "rb")  # by number: FFmpeg would take a meaning from the name
    except FileNotFoundError:
        raise VoiceError(f"{source} does not exist; check the path of the voice file.") from None
    except (OSError, ValueError) as error:  # ValueError: a NUL in the path
        reason = os.strerror(error.errno) if isinstance(error, OSError) and error.errno else str(error)
        raise VoiceError(f"{str(source)!r} cannot be opened ({reason}); check its path and rights.") from None


def _decode(container: InputContainer, name: str, max_seconds: float) -> DecodedAudio:
    if not container.streams.audio:
        raise VoiceError(f"{name} has no audio in it; {ADVICE}.")
    first: av.AudioFrame | None = None
    kept: list[npt.NDArray[np.float32]] = []
    seconds = 0.0
    for frame in _frames(container):
        if first is None:
            first = frame
            check_format(frame.layout.nb_channels, frame.sample_rate, name)
        if _shape(frame) == _shape(first):  # a damaged header now and then changes one frame's
            kept.append(_to_float(frame, name))
        seconds += frame.samples / max(frame.sample_rate, 1)
        if seconds > max_seconds:
            break
    if first is None:
        raise VoiceError(f"{name} is damaged: nothing in it can be decoded; {ADVICE}.")
    stated = container.duration / av.time_base if container.duration else None
    return DecodedAudio(np.concatenate(kept, axis=1), first.sample_rate, first.format.bits, stated)


def _frames(container: InputContainer) -> Iterator[av.AudioFrame]:
    """All that decodes: a bad packet is left out, and a file that breaks off ends there."""
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


def _shape(frame: av.AudioFrame) -> tuple[int, int]:
    return frame.layout.nb_channels, frame.sample_rate


def _to_float(frame: av.AudioFrame, name: str) -> npt.NDArray[np.float32]:
    """`[channels, samples]` float32, full scale at 1."""
    scale = SCALES.get(frame.format.packed.name)
    if scale is None:
        raise VoiceError(f"{name} has {frame.format.name} samples, which is rare; convert it to a 16-bit WAV.")
    raw: npt.NDArray[Any] = frame.to_ndarray()
    if frame.format.is_packed:
        raw = raw.reshape(-1, frame.layout.nb_channels).T
    with np.errstate(over="ignore", invalid="ignore"):  # what becomes infinite or NaN here is refused later
        samples = raw.astype(np.float32) * np.float32(scale)
    return samples - 1 if frame.format.packed.name == "u8" else samples

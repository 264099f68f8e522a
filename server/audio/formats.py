"""Speech as files and streams of every common format: float32 at the model's rate in, bytes out. Knows no socket.

Bytes come out as soon as a format allows: each call of `encode` gives all that is complete.
"""

import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol

import av
import numpy as np
import numpy.typing as npt

from sayline_tts.engine.audio.bundled_libs import use_one_thread
from sayline_tts.engine.audio.time_stretch import Tempo
from sayline_tts.engine.errors import InputError
from sayline_tts.server.audio.ogg import CONTENT_TYPE, OPUS_RATES_HZ, OggOpusEncoder
from sayline_tts.server.audio.resampler import to_frame

MIN_RATE_HZ, MAX_RATE_HZ = 8_000, 48_000
ANY_RATE_HZ = range(MIN_RATE_HZ, MAX_RATE_HZ + 1)
# What the frames of MPEG audio can name.
MPEG_RATES_HZ = (8_000, 11_025, 12_000, 16_000, 22_050, 24_000, 32_000, 44_100, 48_000)


class FormatError(InputError):
    code = "bad_format"


class Format(StrEnum):
    WAV = "wav"
    PCM = "pcm"
    OPUS = "opus"
    MP3 = "mp3"
    AAC = "aac"
    FLAC = "flac"
    MULAW = "mulaw"
    ALAW = "alaw"


class Encoder(Protocol):
    """One stream of mono speech. Used by one thread at a time."""

    content_type: str
    sample_rate_hz: int

    def encode(self, pcm: npt.NDArray[np.float32]) -> bytes:
        """All bytes that are complete with these samples `[n]`; clipped at full scale, NaN is silence."""

    def end(self) -> bytes:
        """The rest. Nothing is encoded after it."""


@dataclass(frozen=True)
class _Recipe:
    """`usual_rate_hz` None: the model's own. A content type may name the rate."""

    content_type: str
    container: str = ""
    codec: str = ""
    rates_hz: Sequence[int] = ANY_RATE_HZ
    usual_rate_hz: int | None = None
    bitrate: int | None = None
    container_options: Mapping[str, str] = field(default_factory=dict)
    codec_options: Mapping[str, str] = field(default_factory=dict)


RECIPES = {
    Format.WAV: _Recipe("audio/wav", "wav", "pcm_s16le"),
    Format.PCM: _Recipe("audio/pcm;rate={rate_hz}", "s16le", "pcm_s16le"),
    Format.OPUS: _Recipe(CONTENT_TYPE, rates_hz=OPUS_RATES_HZ),
    Format.MP3: _Recipe(
        "audio/mpeg", "mp3", "libmp3lame", MPEG_RATES_HZ, bitrate=64_000,
        container_options={"write_xing": "0", "id3v2_version": "0"},
    ),
    # A frame of AAC has 1,024 samples, and one is held back: at 24 kHz nothing is complete with the first 80 ms.
    Format.AAC: _Recipe(
        "audio/aac", "adts", "aac", MPEG_RATES_HZ, usual_rate_hz=48_000, bitrate=64_000,
        codec_options={"aac_coder": "fast"},
    ),
    # From level 3 on a frame of FLAC is longer than one of ours.
    Format.FLAC: _Recipe(
        "audio/flac", "flac", "flac",
        container_options={"metadata_header_padding": "0"}, codec_options={"compression_level": "2"},
    ),
    Format.MULAW: _Recipe("audio/PCMU;rate={rate_hz}", "mulaw", "pcm_mulaw", usual_rate_hz=8_000),
    Format.ALAW: _Recipe("audio/PCMA;rate={rate_hz}", "alaw", "pcm_alaw", usual_rate_hz=8_000),
}  # fmt: skip


def new_encoder(
    format: str, sample_rate_hz: int | None, model_rate_hz: int, bitrate: int | None = None, speed: float = 1.0
) -> Encoder:
    """`sample_rate_hz` None: what is usual for the format. Raises `FormatError`; `InputError` for the speed."""
    encoder = _encoder(format, sample_rate_hz, model_rate_hz, bitrate)
    return encoder if speed == 1 else _HurriedEncoder(encoder, Tempo(speed, model_rate_hz))


def _encoder(format: str, sample_rate_hz: int | None, model_rate_hz: int, bitrate: int | None) -> Encoder:
    try:
        recipe = RECIPES[Format(format)]
    except ValueError:
        raise FormatError(f"no format {format[:20]!r}; there are: {', '.join(Format)}") from None
    rate_hz = sample_rate_hz or recipe.usual_rate_hz or model_rate_hz
    if rate_hz not in recipe.rates_hz:
        possible = recipe.rates_hz
        told = f"{MIN_RATE_HZ} to {MAX_RATE_HZ}" if possible is ANY_RATE_HZ else ", ".join(map(str, possible))
        raise FormatError(f"{format} cannot have a sample rate of {rate_hz} Hz; it can have {told}")
    if recipe.codec:
        return _MuxedEncoder(recipe, rate_hz, model_rate_hz, bitrate or recipe.bitrate)
    return OggOpusEncoder(rate_hz, model_rate_hz, bitrate)


class _MuxedEncoder:
    """FFmpeg's resampler, codec and container, in that order."""

    def __init__(self, recipe: _Recipe, rate_hz: int, model_rate_hz: int, bitrate: int | None) -> None:
        use_one_thread()
        self.content_type = recipe.content_type.format(rate_hz=rate_hz)
        self.sample_rate_hz = rate_hz
        self._model_rate_hz = model_rate_hz
        self._samples = 0
        self._sink = _Sink()
        options = {"flush_packets": "1", "fflags": "+bitexact", **recipe.container_options}
        self._container = av.open(self._sink, "w", format=recipe.container, options=options)
        stream = self._container.add_stream(recipe.codec, rate_hz, dict(recipe.codec_options), layout="mono")
        assert isinstance(stream, av.AudioStream)
        self._stream = stream
        if bitrate is not None:
            stream.bit_rate = bitrate

    def encode(self, pcm: npt.NDArray[np.float32]) -> bytes:
        self._push(pcm)
        return self._sink.take()

    def end(self) -> bytes:
        if not self._samples:  # what says nothing is still a file
            self._push(np.zeros(self._model_rate_hz // 10, np.float32))
        self._container.mux(self._stream.encode(None))
        self._container.close()
        return self._sink.take()

    def _push(self, pcm: npt.NDArray[np.float32]) -> None:
        if len(pcm):
            frame = to_frame(pcm, self._model_rate_hz, self._samples)
            self._samples += len(pcm)
            self._container.mux(self._stream.encode(frame))


class _HurriedEncoder:
    """Faster or slower before it is encoded."""

    def __init__(self, encoder: Encoder, tempo: Tempo) -> None:
        self.content_type, self.sample_rate_hz = encoder.content_type, encoder.sample_rate_hz
        self._encoder, self._tempo = encoder, tempo

    def encode(self, pcm: npt.NDArray[np.float32]) -> bytes:
        return self._encoder.encode(self._tempo.feed(pcm))

    def end(self) -> bytes:
        return self._encoder.encode(self._tempo.end()) + self._encoder.end()


class _Sink:
    """What FFmpeg writes to. It cannot seek, so headers name the largest sizes."""

    def __init__(self) -> None:
        self._data = bytearray()

    def write(self, data: bytes) -> int:
        self._data += data
        return len(data)

    def take(self) -> bytes:
        data = bytes(self._data)
        self._data.clear()
        return data


def with_true_sizes(data: bytes) -> bytes:
    """A file that is whole now: the header of a WAV file need not say any more that its length is not known."""
    if data[:4] != b"RIFF" or data[36:40] != b"data":
        return data
    riff, audio = struct.pack("<I", len(data) - 8), struct.pack("<I", len(data) - 44)
    return data[:4] + riff + data[8:40] + audio + data[44:]

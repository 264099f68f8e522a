"""Encode speech to files and streams: float32 samples at the model's rate in, bytes out.

Each call of `encode` returns everything that is complete, so bytes leave as early as the format allows.
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
from sayline_tts.engine.audio.time_stretch import TimeStretcher
from sayline_tts.engine.errors import InputError
from sayline_tts.server.audio.ogg import CONTENT_TYPE, OPUS_RATES_HZ, OggOpusEncoder
from sayline_tts.server.audio.resampler import to_frame

MIN_RATE_HZ, MAX_RATE_HZ = 8_000, 48_000
WAV_HEADER_BYTES = 44
ANY_RATE_HZ = range(MIN_RATE_HZ, MAX_RATE_HZ + 1)
# Sample rates that MPEG audio frames can declare.
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
    FLOAT32 = "pcm_f32le"


class Encoder(Protocol):
    """Encodes one mono stream. Not thread-safe."""

    content_type: str
    sample_rate_hz: int

    def encode(self, pcm: npt.NDArray[np.float32]) -> bytes:
        """Bytes that are complete with these samples `[n]`. Clips at full scale; NaN becomes silence."""

    def end(self) -> bytes:
        """The remaining bytes. `encode` must not be called afterwards."""


@dataclass(frozen=True)
class FormatSpec:
    """How FFmpeg makes a format. `default_rate_hz` None: the model's rate. The content type may name the rate."""

    content_type: str
    container: str = ""
    codec: str = ""
    rates_hz: Sequence[int] = ANY_RATE_HZ
    default_rate_hz: int | None = None
    bitrate: int | None = None
    container_options: Mapping[str, str] = field(default_factory=dict)
    codec_options: Mapping[str, str] = field(default_factory=dict)


FORMAT_SPECS = {
    Format.WAV: FormatSpec("audio/wav", "wav", "pcm_s16le"),
    Format.PCM: FormatSpec("audio/pcm;rate={rate_hz}", "s16le", "pcm_s16le"),
    Format.OPUS: FormatSpec(CONTENT_TYPE, rates_hz=OPUS_RATES_HZ),
    Format.MP3: FormatSpec(
        "audio/mpeg", "mp3", "libmp3lame", MPEG_RATES_HZ, bitrate=64_000,
        container_options={"write_xing": "0", "id3v2_version": "0"},
    ),
    # An AAC frame has 1,024 samples and the encoder holds one back: at 24 kHz, the first 80 ms would give no bytes.
    Format.AAC: FormatSpec(
        "audio/aac", "adts", "aac", MPEG_RATES_HZ, default_rate_hz=48_000, bitrate=64_000,
        codec_options={"aac_coder": "fast"},
    ),
    # From compression level 3, a FLAC frame is longer than 80 ms.
    Format.FLAC: FormatSpec(
        "audio/flac", "flac", "flac",
        container_options={"metadata_header_padding": "0"}, codec_options={"compression_level": "2"},
    ),
    Format.MULAW: FormatSpec("audio/PCMU;rate={rate_hz}", "mulaw", "pcm_mulaw", default_rate_hz=8_000),
    Format.ALAW: FormatSpec("audio/PCMA;rate={rate_hz}", "alaw", "pcm_alaw", default_rate_hz=8_000),
    Format.FLOAT32: FormatSpec("audio/pcm;rate={rate_hz};encoding=float;bits=32", "f32le", "pcm_f32le"),
}  # fmt: skip


def new_encoder(
    format: str, sample_rate_hz: int | None, model_rate_hz: int, bitrate: int | None = None, speed: float = 1.0
) -> Encoder:
    """An encoder. `sample_rate_hz` None: the format's default. Raises `FormatError`; `InputError` for the speed."""
    encoder = _encoder(format, sample_rate_hz, model_rate_hz, bitrate)
    return encoder if speed == 1 else _TimeStretchEncoder(encoder, TimeStretcher(speed, model_rate_hz))


def _encoder(format: str, sample_rate_hz: int | None, model_rate_hz: int, bitrate: int | None) -> Encoder:
    try:
        spec = FORMAT_SPECS[Format(format)]
    except ValueError:
        raise FormatError(f"unknown format {format[:20]!r}; use one of: {', '.join(Format)}") from None
    rate_hz = sample_rate_hz or spec.default_rate_hz or model_rate_hz
    if rate_hz not in spec.rates_hz:
        rates_hz = spec.rates_hz
        allowed = f"{MIN_RATE_HZ} to {MAX_RATE_HZ}" if rates_hz is ANY_RATE_HZ else ", ".join(map(str, rates_hz))
        raise FormatError(f"{format} does not support a sample rate of {rate_hz} Hz; use {allowed}")
    if spec.codec:
        return _MuxedEncoder(spec, rate_hz, model_rate_hz, bitrate or spec.bitrate)
    return OggOpusEncoder(rate_hz, model_rate_hz, bitrate)


class _MuxedEncoder:
    """Encodes with FFmpeg's resampler, codec and muxer."""

    def __init__(self, spec: FormatSpec, rate_hz: int, model_rate_hz: int, bitrate: int | None) -> None:
        use_one_thread()
        self.content_type = spec.content_type.format(rate_hz=rate_hz)
        self.sample_rate_hz = rate_hz
        self._model_rate_hz = model_rate_hz
        self._samples = 0
        self._sink = _Sink()
        options = {"flush_packets": "1", "fflags": "+bitexact", **spec.container_options}
        self._container = av.open(self._sink, "w", format=spec.container, options=options)
        stream = self._container.add_stream(spec.codec, rate_hz, dict(spec.codec_options), layout="mono")
        assert isinstance(stream, av.AudioStream)
        self._stream = stream
        if bitrate is not None:
            stream.bit_rate = bitrate

    def encode(self, pcm: npt.NDArray[np.float32]) -> bytes:
        self._push(pcm)
        return self._sink.take()

    def end(self) -> bytes:
        if not self._samples:  # empty input must still give a valid file
            self._push(np.zeros(self._model_rate_hz // 10, np.float32))
        self._container.mux(self._stream.encode(None))
        self._container.close()
        return self._sink.take()

    def _push(self, pcm: npt.NDArray[np.float32]) -> None:
        if len(pcm):
            frame = to_frame(pcm, self._model_rate_hz, self._samples)
            self._samples += len(pcm)
            self._container.mux(self._stream.encode(frame))


class _TimeStretchEncoder:
    """Changes the speed before encoding."""

    def __init__(self, encoder: Encoder, stretcher: TimeStretcher) -> None:
        self.content_type, self.sample_rate_hz = encoder.content_type, encoder.sample_rate_hz
        self._encoder, self._stretcher = encoder, stretcher

    def encode(self, pcm: npt.NDArray[np.float32]) -> bytes:
        return self._encoder.encode(self._stretcher.feed(pcm))

    def end(self) -> bytes:
        return self._encoder.encode(self._stretcher.end()) + self._encoder.end()


class _Sink:
    """FFmpeg's output. It cannot seek, so headers declare the largest possible sizes."""

    def __init__(self) -> None:
        self._data = bytearray()

    def write(self, data: bytes) -> int:
        self._data += data
        return len(data)

    def take(self) -> bytes:
        data = bytes(self._data)
        self._data.clear()
        return data


def with_final_sizes(data: bytes, audio_bytes: int | None = None) -> bytes:
    """Write the true sizes into the header of a WAV file; other data is returned unchanged.

    `audio_bytes`: the audio of the whole file, of which `data` may be the beginning. None: `data` is the whole file.
    """
    if data[:4] != b"RIFF" or data[36:40] != b"data":
        return data
    audio_bytes = len(data) - WAV_HEADER_BYTES if audio_bytes is None else audio_bytes
    riff, audio = struct.pack("<I", audio_bytes + WAV_HEADER_BYTES - 8), struct.pack("<I", audio_bytes)
    return data[:4] + riff + data[8:40] + audio + data[44:]

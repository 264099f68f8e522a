"""Audio samples for tests, and audio files that contain them."""

import io
import struct
import wave
import zlib
from typing import Any

import av
import numpy as np
import numpy.typing as npt

Samples = npt.NDArray[np.float32]
LAYOUTS = {1: "mono", 2: "stereo", 6: "5.1", 8: "7.1"}


def tone(seconds: float = 2.0, rate_hz: int = 24_000, hz: float = 440.0, peak: float = 0.3) -> Samples:
    """Return a sine as `[samples]`."""
    angle = 2 * np.pi * hz * np.arange(round(seconds * rate_hz)) / rate_hz
    return np.asarray(peak * np.sin(angle), np.float32)


def speech(seconds: float = 2.0, rate_hz: int = 24_000, seed: int = 0) -> Samples:
    """Return noise with the rhythm of syllables as `[samples]`, rounded to 16 bits."""
    noise = np.random.default_rng(seed).normal(0, 0.1, round(seconds * rate_hz))
    syllables = np.sin(2 * np.pi * 3 * np.arange(len(noise)) / rate_hz) ** 2
    return np.asarray(np.rint(np.clip(noise * syllables, -1, 1) * 32767) / 32768, np.float32)


def wav(samples: npt.NDArray[Any], rate_hz: int = 24_000) -> bytes:
    """Return a plain 16-bit WAV of `[samples]` or `[channels, samples]`: 44 bytes of header, then the samples."""
    samples = np.atleast_2d(samples)
    file = io.BytesIO()
    with wave.open(file, "wb") as output:
        output.setparams((len(samples), 2, rate_hz, 0, "NONE", ""))
        output.writeframes(np.clip(np.rint(samples.T * 32768), -32768, 32767).astype("<i2").tobytes())
    return file.getvalue()


def encode(samples: npt.NDArray[Any], codec: str, container: str, rate_hz: int = 24_000) -> bytes:
    """Return a file of `[samples]` or `[channels, samples]`, encoded by FFmpeg."""
    samples = np.atleast_2d(samples).astype(np.float32)
    layout = LAYOUTS[len(samples)]
    file = io.BytesIO()
    with av.open(file, "w", format=container) as output:
        stream: Any = output.add_stream(codec, rate=rate_hz, layout=layout, options={"strict": "experimental"})
        context = stream.codec_context
        resampler = av.AudioResampler(context.format, layout, rate_hz, context.frame_size or 1024)
        for start in range(0, samples.shape[1], rate_hz):
            part = samples[:, start : start + rate_hz].T.reshape(1, -1)
            frame = av.AudioFrame.from_ndarray(part, "flt", layout)
            frame.sample_rate = rate_hz
            for piece in resampler.resample(frame):
                output.mux(stream.encode(piece))
        for piece in resampler.resample(None):
            output.mux(stream.encode(piece))
        output.mux(stream.encode(None))
    return file.getvalue()


def png(side: int) -> bytes:
    """Return a black PNG image, small as a file and `3 * side * side` bytes when decoded."""
    deflate = zlib.compressobj(1)
    row = bytes(1 + 3 * side)
    pixels = b"".join([*(deflate.compress(row) for _ in range(side)), deflate.flush()])
    header = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    parts = [(b"IHDR", header), (b"IDAT", pixels), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body)) for kind, body in parts
    )


def with_id3(mp3: bytes, frame_id: bytes, body: bytes) -> bytes:
    """Return an MP3 file with one ID3 tag in front."""

    def size(count: int) -> bytes:
        return bytes(count >> shift & 127 for shift in (21, 14, 7, 0))

    frame = frame_id + size(len(body)) + b"\0\0" + body
    return b"ID3\4\0\0" + size(len(frame)) + frame + mp3

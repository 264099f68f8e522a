"""Ogg Opus encoder that writes one page per frame of speech, without delay.

FFmpeg's Ogg muxer holds one page back, so it would be one frame late, and its Opus encoder has no option for voice
signals (see `sayline_tts.server.audio.opus`). Pages follow RFC 3533, their content RFC 7845.
"""

import secrets
import struct
import zlib

import numpy as np
import numpy.typing as npt

from sayline_tts.server.audio.opus import OpusEncoder
from sayline_tts.server.audio.resampler import Resampler

CONTENT_TYPE = "audio/ogg;codecs=opus"
OPUS_RATES_HZ = (8_000, 12_000, 16_000, 24_000, 48_000)
PACKET_MS = 20  # supported by every player
GRANULE_HZ = 48_000  # clock of granule positions, whatever the sample rate
VENDOR = b"sayline"
_BEGIN_OF_STREAM, _END_OF_STREAM = 2, 4  # header types of a page
_NO_SAMPLES = np.zeros(0, np.float32)
_MIRRORED = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))

Samples = npt.NDArray[np.float32]


class OggOpusEncoder:
    """`sample_rate_hz` bounds the audio bandwidth; players always decode at 48 kHz."""

    content_type = CONTENT_TYPE

    def __init__(self, sample_rate_hz: int, model_rate_hz: int, bitrate: int | None = None) -> None:
        self.sample_rate_hz = sample_rate_hz
        rate_hz = sample_rate_hz
        if sample_rate_hz > model_rate_hz and model_rate_hz in OPUS_RATES_HZ:
            rate_hz = model_rate_hz  # a higher rate adds no bandwidth
        self._opus = OpusEncoder(rate_hz, bitrate or 48_000, frame_ms=PACKET_MS)
        self._resampler = Resampler(model_rate_hz, rate_hz) if rate_hz != model_rate_hz else None
        self._granules_per_sample = GRANULE_HZ // rate_hz
        self._pending = _NO_SAMPLES  # less than one packet
        self._samples = 0  # received so far
        self._packed_samples = 0
        self._pages = OggPages()
        self._started = False

    def encode(self, pcm: Samples) -> bytes:
        headers = self._headers()
        self._append(self._resampler.feed(pcm) if self._resampler else pcm)
        packets = self._packets()
        position = self._packed_samples * self._granules_per_sample
        return headers + (self._pages.page(packets, position) if packets else b"")

    def end(self) -> bytes:
        """The last page. Its position is the end of speech, so players drop the padding."""
        headers = self._headers()
        if self._resampler:
            self._append(self._resampler.end())
        end = self._samples + self._opus.pre_skip_samples  # the encoder lags by this much
        missing = end - self._samples + -end % self._opus.frame_samples
        self._pending = np.concatenate([self._pending, np.zeros(missing, np.float32)])
        return headers + self._pages.page(self._packets(), end * self._granules_per_sample, _END_OF_STREAM)

    def _headers(self) -> bytes:
        """The stream's header pages on the first call, then nothing."""
        if self._started:
            return b""
        self._started = True
        pre_skip = self._opus.pre_skip_samples * self._granules_per_sample
        head = struct.pack("<8sBBHIhB", b"OpusHead", 1, 1, pre_skip, self.sample_rate_hz, 0, 0)
        tags = struct.pack(f"<8sI{len(VENDOR)}sI", b"OpusTags", len(VENDOR), VENDOR, 0)
        return self._pages.page([head], 0, _BEGIN_OF_STREAM) + self._pages.page([tags], 0)

    def _append(self, pcm: Samples) -> None:
        self._samples += len(pcm)
        self._pending = np.concatenate([self._pending, pcm])

    def _packets(self) -> list[bytes]:
        size = self._opus.frame_samples
        whole, self._pending = np.split(self._pending, [len(self._pending) // size * size])
        self._packed_samples += len(whole)
        return [self._opus.encode(samples) for samples in whole.reshape(-1, size)]


class OggPages:
    """Builds the pages of one stream, in order."""

    def __init__(self) -> None:
        self._stream = secrets.randbits(32)
        self._number = 0

    def page(self, packets: list[bytes], position: int, header_type: int = 0) -> bytes:
        """A page of whole packets, of at most 255 segments. `position`: granule position where the last one ends."""
        lengths = b"".join(b"\xff" * (len(packet) // 255) + bytes([len(packet) % 255]) for packet in packets)
        head = struct.pack("<4sBBQII", b"OggS", 0, header_type, position, self._stream, self._number)
        self._number += 1
        rest = bytes([len(lengths)]) + lengths + b"".join(packets)
        return head + struct.pack("<I", checksum(head + bytes(4) + rest)) + rest


def checksum(page: bytes) -> int:
    """Ogg's CRC-32, computed as zlib's with all bits mirrored, starting at 0 and not inverted."""
    mirrored = zlib.crc32(page.translate(_MIRRORED), 0xFFFFFFFF) ^ 0xFFFFFFFF
    return int(f"{mirrored:032b}"[::-1], 2)

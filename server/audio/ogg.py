"""Ogg with Opus in it: one page for each frame of speech, out as soon as the frame is in.

FFmpeg's own container keeps back a page, so it would be a frame late, and its codec cannot be told that this is speech
(`sayline_tts.server.audio.opus` says what that costs). The pages are RFC 3533, what is in them RFC 7845.
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
PACKET_MS = 20  # what every player takes
CLOCK_HZ = 48_000  # of positions, at any rate of the speech
VENDOR = b"sayline"
_FIRST, _LAST = 2, 4  # marks of a page
_NO_SAMPLES = np.zeros(0, np.float32)
_MIRRORED = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))

Samples = npt.NDArray[np.float32]


class OggOpusEncoder:
    """`sample_rate_hz` says how much of the sound is kept; players always hear 48 kHz."""

    content_type = CONTENT_TYPE

    def __init__(self, sample_rate_hz: int, model_rate_hz: int, bitrate: int | None = None) -> None:
        self.sample_rate_hz = sample_rate_hz
        rate_hz = sample_rate_hz
        if sample_rate_hz > model_rate_hz and model_rate_hz in OPUS_RATES_HZ:
            rate_hz = model_rate_hz  # there is nothing above it
        self._opus = OpusEncoder(rate_hz, bitrate or 48_000, frame_ms=PACKET_MS)
        self._resampler = Resampler(model_rate_hz, rate_hz) if rate_hz != model_rate_hz else None
        self._ticks = CLOCK_HZ // rate_hz  # of the clock, in one sample
        self._waiting = _NO_SAMPLES  # less than a packet
        self._samples = 0  # all that came
        self._packed_samples = 0
        self._pages = OggPages()
        self._begun = False

    def encode(self, pcm: Samples) -> bytes:
        begin = self._begin()
        self._take(self._resampler.feed(pcm) if self._resampler else pcm)
        packets = self._packets()
        return begin + (self._pages.page(packets, self._packed_samples * self._ticks) if packets else b"")

    def end(self) -> bytes:
        """The last page tells where the speech ends, so a player drops the silence that fills it up."""
        begin = self._begin()
        if self._resampler:
            self._take(self._resampler.end())
        end = self._samples + self._opus.pre_skip_samples  # the encoder is so far behind
        missing = end - self._samples + -end % self._opus.frame_samples
        self._waiting = np.concatenate([self._waiting, np.zeros(missing, np.float32)])
        return begin + self._pages.page(self._packets(), end * self._ticks, _LAST)

    def _begin(self) -> bytes:
        """What a stream begins with, the first time."""
        if self._begun:
            return b""
        self._begun = True
        pre_skip = self._opus.pre_skip_samples * self._ticks
        head = struct.pack("<8sBBHIhB", b"OpusHead", 1, 1, pre_skip, self.sample_rate_hz, 0, 0)
        tags = struct.pack(f"<8sI{len(VENDOR)}sI", b"OpusTags", len(VENDOR), VENDOR, 0)
        return self._pages.page([head], 0, _FIRST) + self._pages.page([tags], 0)

    def _take(self, pcm: Samples) -> None:
        self._samples += len(pcm)
        self._waiting = np.concatenate([self._waiting, pcm])

    def _packets(self) -> list[bytes]:
        size = self._opus.frame_samples
        whole, self._waiting = np.split(self._waiting, [len(self._waiting) // size * size])
        self._packed_samples += len(whole)
        return [self._opus.encode(samples) for samples in whole.reshape(-1, size)]


class OggPages:
    """The pages of one stream, in order."""

    def __init__(self) -> None:
        self._stream = secrets.randbits(32)
        self._number = 0

    def page(self, packets: list[bytes], position: int, mark: int = 0) -> bytes:
        """Whole packets, as many as there are; `position` is where the last of them ends. Fewer than 255 segments."""
        lengths = b"".join(b"\xff" * (len(packet) // 255) + bytes([len(packet) % 255]) for packet in packets)
        head = struct.pack("<4sBBQII", b"OggS", 0, mark, position, self._stream, self._number)
        self._number += 1
        rest = bytes([len(lengths)]) + lengths + b"".join(packets)
        return head + struct.pack("<I", checksum(head + bytes(4) + rest)) + rest


def checksum(page: bytes) -> int:
    """Ogg's CRC is that of zlib with all bits mirrored, from 0, and not inverted."""
    mirrored = zlib.crc32(page.translate(_MIRRORED), 0xFFFFFFFF) ^ 0xFFFFFFFF
    return int(f"{mirrored:032b}"[::-1], 2)

import io
import struct

import av
import numpy as np
import numpy.typing as npt
import pytest

from sayline_tts.server.audio.ogg import OPUS_RATES_HZ, OggOpusEncoder, OggPages, checksum

RATE_HZ, FRAME = 24_000, 1920
Samples = npt.NDArray[np.float32]


def tone(samples: int) -> Samples:
    return np.asarray(0.3 * np.sin(2 * np.pi * 440 * np.arange(samples) / RATE_HZ), np.float32)


def pages(data: bytes) -> list[tuple[int, int, list[int]]]:
    """Header type, granule position and packet lengths of each page."""
    found: list[tuple[int, int, list[int]]] = []
    while data:
        magic, version, mark, position, _, number, crc, count = struct.unpack("<4sBBQIIIB", data[:27])
        lengths, packets = data[27 : 27 + count], [0]
        for length in lengths:
            packets[-1] += length
            if length < 255:
                packets.append(0)
        size = 27 + count + sum(lengths)
        assert (magic, version, number) == (b"OggS", 0, len(found))
        assert crc == reference_crc(data[:22] + bytes(4) + data[26:size])
        found.append((mark, position, packets[:-1]))
        data = data[size:]
    return found


def reference_crc(page: bytes) -> int:
    """RFC 3533: polynomial 0x04c11db7, from 0, bit by bit."""
    crc = 0
    for byte in page:
        crc ^= byte << 24
        for _ in range(8):
            crc = (crc << 1 ^ 0x04C11DB7) & 0xFFFFFFFF if crc >> 31 else crc << 1
    return crc


def test_checksum_matches_rfc_3533() -> None:
    for page in (b"", b"OggS", bytes(range(256)) * 3):
        assert checksum(page) == reference_crc(page)


def test_each_frame_gives_a_page_at_once() -> None:
    encoder = OggOpusEncoder(RATE_HZ, RATE_HZ)
    head, tags, sound = pages(encoder.encode(tone(FRAME)))
    assert (head[0], head[1], head[2]) == (2, 0, [19])
    assert tags[:2] == (0, 0)
    assert (sound[0], sound[1], len(sound[2])) == (0, 80 * 48, 4)
    second = encoder.encode(tone(FRAME))
    assert second[14:18] == encoder.encode(tone(FRAME))[14:18]  # the same stream


@pytest.mark.parametrize(
    ("rate_hz", "samples"),
    [
        *((24_000, samples) for samples in (0, 1, 300)),  # at other rates FFmpeg is inexact for so short input
        *((rate_hz, samples) for rate_hz in OPUS_RATES_HZ for samples in (480, 1764, 1920, 2000, 5 * FRAME)),
    ],
)
def test_decoded_length_matches_the_input(rate_hz: int, samples: int) -> None:
    encoder = OggOpusEncoder(rate_hz, RATE_HZ)
    data = b"".join(encoder.encode(tone(samples)[at : at + FRAME]) for at in range(0, samples, FRAME)) + encoder.end()
    marks = [mark for mark, _, _ in pages(data)]
    assert (marks[0], marks[-1]) == (2, 4)
    with av.open(io.BytesIO(data), format="ogg") as file:
        assert isinstance(file, av.container.InputContainer)
        output = sum(frame.samples for frame in file.decode(audio=0))
    assert abs(output - 2 * samples) <= 6  # samples at 48 kHz, for rates that do not divide the length


def test_long_packets_are_laced() -> None:
    for length in (0, 1, 254, 255, 256, 510, 600):
        assert pages(OggPages().page([b"x" * length, b"y"], 0)) == [(0, 0, [length, 1])]

"""Frames that are not masked are refused, wherever the network splits them."""

import pytest

from sayline_tts.server.network.masked_frames import INVALID_FRAME, MaskedFrames
from tests.server.raw_http import frame

FRAMES = [frame(b"Hello"), frame(), frame(bytes(126)), frame(b"ping", 9), frame(bytes(70_000)), frame(b"a" * 125)]


class Reader:
    def __init__(self) -> None:
        self.data, self.ended = b"", False

    def feed_data(self, data: bytes) -> tuple[bool, bytes]:
        self.data += data
        return data == INVALID_FRAME, b""

    def feed_eof(self) -> None:
        self.ended = True


def feed(data: bytes, piece_bytes: int) -> tuple[bytes, bool]:
    """What the reader gets of the data in such pieces, and whether it was refused."""
    reader = Reader()
    frames = MaskedFrames(reader)
    for at in range(0, len(data), piece_bytes):
        if frames.feed_data(data[at : at + piece_bytes])[0]:
            return reader.data, True
    return reader.data, False


@pytest.mark.parametrize("piece_bytes", [1, 2, 3, 7, 1000, 1_000_000])
def test_masked_frames_pass_unchanged(piece_bytes: int) -> None:
    assert feed(b"".join(FRAMES), piece_bytes) == (b"".join(FRAMES), False)


@pytest.mark.parametrize("piece_bytes", [1, 2, 3, 7, 1000, 1_000_000])
@pytest.mark.parametrize("before", range(len(FRAMES) + 1))
@pytest.mark.parametrize("unmasked", [frame(b"Hello", masked=False), frame(bytes(70_000), masked=False)])
def test_first_unmasked_frame_is_replaced_by_an_invalid_one(unmasked: bytes, before: int, piece_bytes: int) -> None:
    good = b"".join(FRAMES[:before])
    assert feed(good + unmasked + frame(), piece_bytes) == (good + INVALID_FRAME, True)


def test_incomplete_head_is_kept_until_its_rest_arrives() -> None:
    reader = Reader()
    frames = MaskedFrames(reader)
    frames.feed_data(frame(b"Hi") + frame(bytes(300))[:3])
    assert reader.data == frame(b"Hi")
    frames.feed_data(frame(bytes(300))[3:])
    assert reader.data == frame(b"Hi") + frame(bytes(300))


def test_end_is_passed_on() -> None:
    reader = Reader()
    MaskedFrames(reader).feed_eof()
    assert reader.ended

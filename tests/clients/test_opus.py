import ctypes.util
import math
from array import array
from collections.abc import Iterator

import numpy as np
import pytest
from sayline import opus
from sayline.errors import ProtocolError

from sayline_tts.server.audio.opus import OpusEncoder

RATE_HZ = 24_000
SECONDS = np.arange(10 * 1920) / RATE_HZ
SWEEP = (0.4 * np.sin(2 * math.pi * (100 + 100 * SECONDS) * SECONDS)).astype(np.float32)


@pytest.fixture(autouse=True)
def fresh() -> Iterator[None]:
    opus.load_libopus.cache_clear()
    yield
    opus.load_libopus.cache_clear()


def decoded(frames: int = 10) -> list[bytes]:
    encoder = OpusEncoder(RATE_HZ)
    decoder = opus.OpusDecoder(RATE_HZ, encoder.pre_skip_samples)
    return [decoder.decode(encoder.encode(frame)) for frame in SWEEP.reshape(10, 1920)[:frames]]


def test_decoded_audio_matches_the_input_from_the_first_sample() -> None:
    pcm = np.frombuffer(b"".join(decoded()), np.int16) / 32768
    assert len(pcm) == len(SWEEP) - 156
    wrong = pcm[1920:] - SWEEP[1920 : len(pcm)]  # behind the encoder's own start
    assert math.sqrt(np.mean(wrong**2)) < 0.03


def test_only_the_first_frame_is_shorter() -> None:
    assert [len(pcm) // 2 for pcm in decoded(3)] == [1920 - 156, 1920, 1920]


def test_pre_skip_may_exceed_a_packet() -> None:
    encoder = OpusEncoder(RATE_HZ)
    decoder = opus.OpusDecoder(RATE_HZ, 2000)
    lengths = [len(decoder.decode(encoder.encode(SWEEP[:1920]))) // 2 for _ in range(3)]
    assert lengths == [0, 3 * 1920 - 2000 - 1920, 1920]


@pytest.mark.parametrize("packet", [b"", b"opus packet", b"\xff\xff"])
def test_invalid_packet_is_refused(packet: bytes) -> None:
    with pytest.raises(ProtocolError, match=f"sent {len(packet)} bytes that are no Opus packet"):
        opus.OpusDecoder(RATE_HZ, 156).decode(packet)


def test_unsupported_sample_rate_is_refused() -> None:
    with pytest.raises(ProtocolError, match="sample rate of 44100 Hz"):
        opus.OpusDecoder(44_100, 312)


def test_libopus_from_the_wheel_is_used_without_a_system_library(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ctypes.util, "find_library", lambda name: None)
    library = opus.load_libopus()
    assert library is not None
    assert "av.libs" in library._name or ".dylibs" in library._name
    assert array("h", decoded(2)[1])


def test_unloadable_library_is_skipped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(opus, "find_spec", lambda name: None)
    monkeypatch.setattr(ctypes.util, "find_library", lambda name: "libopus-of-nobody.so.0")
    assert opus.load_libopus() is None
    opus.load_libopus.cache_clear()
    monkeypatch.setattr(ctypes.util, "find_library", lambda name: None)
    assert opus.load_libopus() is None

import numpy as np
import pytest

from sayline_tts.engine.audio.recording import to_pcm
from sayline_tts.server.audio.framer import Framer

RATE_HZ, FRAME = 24_000, 1920


def tone(frames: int) -> np.ndarray:
    return (0.5 * np.sin(np.arange(frames * FRAME) * 2 * np.pi * 220 / RATE_HZ)).astype(np.float32)


def spoken(framer: Framer, sound: np.ndarray) -> list[bytes]:
    return [data for frame in sound.reshape(-1, FRAME) for data in framer.feed(frame)]


def test_frames_pass_unchanged_at_speed_1() -> None:
    took_ms: list[float] = []
    framer = Framer("pcm", 1.0, RATE_HZ, FRAME, took_ms.append)
    sound = tone(3)
    assert b"".join(spoken(framer, sound)) == to_pcm(sound)
    assert framer.end_part() == []
    assert len(took_ms) == 3


@pytest.mark.parametrize("speed", [0.5, 0.8, 1.25, 2.0])
def test_other_speeds_give_whole_frames_and_end_part_flushes(speed: float) -> None:
    framer = Framer("pcm", speed, RATE_HZ, FRAME, lambda ms: None)
    for _ in range(3):
        data = [*spoken(framer, tone(20)), *framer.end_part()]
        assert {len(frame) for frame in data} == {2 * FRAME}
        assert len(data) == np.ceil(20 / speed - 1e-9)


def test_opus_gives_one_packet_per_frame() -> None:
    framer = Framer("opus", 1.0, RATE_HZ, FRAME, lambda ms: None)
    assert [len(framer.feed(frame)) for frame in tone(3).reshape(-1, FRAME)] == [1, 1, 1]

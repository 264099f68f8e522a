import math
import struct
from itertools import pairwise

import pytest
from sayline.playback import Playback

RATE_HZ = 24_000
MS = 24  # samples
FADE = 5 * MS
LOUD = 10_000


def loud(ms: float) -> bytes:
    return struct.pack("<h", LOUD) * round(ms * MS)


def samples(pcm: bytes) -> list[int]:
    return list(struct.unpack(f"<{len(pcm) // 2}h", pcm))


def wave(ms: int) -> bytes:
    count = ms * MS
    return struct.pack(f"<{count}h", *(round(LOUD * math.sin(math.tau * n / 120)) for n in range(count)))


def silent(pcm: bytes) -> bool:
    return not any(pcm)


def falls(pcm: bytes) -> bool:
    """From its whole strength to nothing, without a step."""
    heard = samples(pcm)[-FADE:]
    return heard[0] == LOUD and all(0 <= before - after <= LOUD / FADE + 1 for before, after in pairwise(heard))


def rises(pcm: bytes) -> bool:
    heard = samples(pcm)[:FADE]
    return heard[0] == 0 and all(0 <= after - before <= LOUD / FADE + 1 for before, after in pairwise(heard))


class Told:
    def __init__(self) -> None:
        self.times = 0

    def __call__(self) -> None:
        self.times += 1


def playback(latency_ms: float = 0) -> Playback:
    return Playback(RATE_HZ, latency_ms, Told())


def test_written_samples_are_played_exactly() -> None:
    sound, written = playback(), wave(80)
    for at in range(0, len(written), 1000):
        sound.write(written[at : at + 1000])
    heard = b"".join(sound.read(7 * MS) for _ in range(10))
    assert heard == written[: len(heard)]
    assert (sound.played_ms, sound.lead_ms, sound.underruns) == (70, 10, 0)


def test_silence_is_played_before_the_first_audio() -> None:
    sound = playback()
    assert silent(sound.read(100))
    assert (sound.played_ms, sound.underruns, sound.over) == (0, 0, False)


def test_position_counts_what_left_the_device() -> None:
    sound = playback(latency_ms=30)
    sound.write(loud(200))
    sound.read(20 * MS)
    assert (sound.played_ms, sound.lead_ms) == (0, 200)
    sound.read(20 * MS)
    assert (sound.played_ms, sound.lead_ms) == (10, 190)


def test_silence_does_not_advance_the_position() -> None:
    sound = playback(latency_ms=30)
    sound.read(50 * MS)
    sound.write(loud(40))
    sound.settle()
    sound.read(50 * MS)
    assert sound.played_ms == 20
    sound.read(100 * MS)
    assert sound.played_ms == 40
    sound.write(loud(80))
    sound.read(40 * MS)
    assert sound.played_ms == 50


def test_playback_is_over_when_the_end_was_played() -> None:
    sound = playback(latency_ms=30)
    sound.write(loud(40))
    sound.end()
    heard = sound.read(50 * MS)
    assert falls(heard[: 40 * MS * 2])
    assert silent(heard[40 * MS * 2 :])
    assert (sound.over, sound.drained) == (False, True)
    sound.read(20 * MS)
    assert (sound.over, sound.played_ms) == (True, 40)


def test_empty_playback_is_over_at_once() -> None:
    sound = playback(latency_ms=30)
    sound.end()
    assert sound.over


def test_end_is_faded_for_any_block_size() -> None:
    whole, pieces = playback(), playback()
    for sound in (whole, pieces):
        sound.write(loud(20))
        sound.end()
    assert whole.read(20 * MS) == b"".join(pieces.read(10) for _ in range(48))


def test_underrun_fades_out_and_resumes_after_rebuffering() -> None:
    sound = playback()
    sound.write(loud(80))
    assert falls(sound.read(100 * MS)[: 80 * MS * 2])
    assert sound.underruns == 1
    sound.write(loud(80))
    assert silent(sound.read(10 * MS))
    sound.write(loud(80))
    assert rises(sound.read(10 * MS))
    assert sound.played_ms == 90


def test_fade_out_starts_before_the_underrun() -> None:
    sound = playback()
    sound.write(loud(82))
    assert falls(sound.read(80 * MS))
    assert sound.underruns == 1


def test_complete_short_piece_is_not_held_back() -> None:
    sound = playback()
    sound.write(loud(80))
    sound.read(100 * MS)
    sound.write(loud(80))
    sound.settle()
    assert rises(sound.read(40 * MS))
    sound.read(100 * MS)
    assert sound.played_ms == 160
    assert sound.underruns == 1  # the text had come to a stop, not the sound


def test_first_audio_is_not_faded_in() -> None:
    sound = playback()
    sound.write(loud(80))
    assert samples(sound.read(MS))[0] == LOUD


@pytest.mark.parametrize("block", [MS, 10 * MS, 60 * MS])
def test_pause_fades_out_and_resumes_at_the_same_position(block: int) -> None:
    sound = playback()
    sound.write(loud(400))
    sound.read(100 * MS)
    sound.pause()
    faded = sound.read(block)
    assert samples(faded)[0] > samples(faded)[min(block, FADE) - 1] > 0
    assert silent(sound.read(1000 * MS))
    faded_ms = min(block / MS, 5)
    assert (sound.played_ms, sound.paused) == (100 + faded_ms, True)
    sound.resume()
    assert rises(sound.read(10 * MS))
    assert sound.played_ms == 110 + faded_ms


def test_stop_fades_to_silence() -> None:
    sound = playback(latency_ms=30)
    sound.write(loud(400))
    sound.read(100 * MS)
    assert sound.stop() == 105
    heard = sound.read(20 * MS)
    assert falls(heard[: 5 * MS * 2])
    assert silent(heard[5 * MS * 2 :])
    assert not sound.over
    sound.read(20 * MS)
    assert (sound.over, sound.played_ms) == (True, 105)
    sound.write(loud(80))
    assert silent(sound.read(100 * MS))
    assert sound.stop() == 105


def test_stop_during_a_pause_is_over_with_the_device_latency() -> None:
    sound = playback()
    sound.write(loud(400))
    sound.read(100 * MS)
    sound.pause()
    sound.read(10 * MS)
    assert sound.stop() == 105
    assert sound.over


def test_stop_right_after_a_pause_still_fades() -> None:
    sound = playback()
    sound.write(loud(400))
    sound.read(100 * MS)
    sound.pause()
    assert sound.stop() == 105
    assert falls(sound.read(5 * MS))
    assert sound.over


def test_on_change_is_called_once_a_second_and_at_the_end() -> None:
    told = Told()
    sound = Playback(RATE_HZ, 0, told)
    sound.write(loud(3000))
    for _ in range(250):
        sound.read(10 * MS)
    assert told.times == 2
    sound.pause()
    assert told.times == 3
    for _ in range(100):  # the device goes on
        sound.read(10 * MS)
    assert told.times == 4
    sound.resume()
    sound.end()
    assert told.times == 6
    while not sound.over:
        sound.read(10 * MS)
    before = told.times
    sound.read(10 * MS)
    assert told.times == before


def test_played_history_is_discarded() -> None:
    sound = playback(latency_ms=50)
    sound.write(loud(20_000))
    for _ in range(1900):
        sound.read(10 * MS)
        assert sound.played_ms == max(0, sound._requested / MS - 50)
    assert len(sound._runs) <= 7

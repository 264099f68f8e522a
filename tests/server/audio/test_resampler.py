import numpy as np
import pytest

from sayline_tts.server.audio.resampler import Resampler, to_frame

TONE = np.asarray(0.5 * np.sin(2 * np.pi * 440 * np.arange(24_000) / 24_000), np.float32)


@pytest.mark.parametrize("to_hz", [8_000, 11_025, 16_000, 22_050, 32_000, 44_100, 48_000])
def test_delay_is_at_most_2_ms(to_hz: int) -> None:
    resampler, came = Resampler(24_000, to_hz), 0
    for number in range(12):
        came += len(resampler.feed(TONE[number * 1920 : (number + 1) * 1920]))
        assert 0 <= (number + 1) * 0.08 - came / to_hz <= 0.00205
    assert came + len(resampler.end()) == round(12 * 0.08 * to_hz)


@pytest.mark.parametrize("size", [1, 77, 1920, 24_000])
def test_chunk_size_does_not_change_the_output(size: int) -> None:
    sound = TONE[:6_000]
    whole, cut = Resampler(24_000, 16_000), Resampler(24_000, 16_000)
    pieces = [cut.feed(sound[at : at + size]) for at in range(0, len(sound), size)]
    expected = np.concatenate([whole.feed(sound), whole.end()])
    assert np.array_equal(np.concatenate([*pieces, cut.end()]), expected)


def test_empty_input_gives_no_output() -> None:
    resampler = Resampler(24_000, 16_000)
    assert len(resampler.feed(TONE[:0])) == 0
    assert len(Resampler(24_000, 16_000).end()) == 0


def test_frames_are_clipped_and_have_no_nan() -> None:
    frame = to_frame(np.array([0.5, np.nan, np.inf, -np.inf, 3, -3], np.float32), 24_000, 0)
    assert frame.to_ndarray()[0].tolist() == [0.5, 0, 1, -1, 1, -1]

"""What is below the voice is removed, and the voice is not; the level becomes that of a good recording."""

import numpy as np
import pytest

from sayline_tts.engine.cloning.conditioning import SPEECH_DBFS, high_pass, level_speech
from tests.engine.sounds import speech, tone


def rms(samples: np.ndarray) -> float:
    return float(np.sqrt(np.mean(samples.astype(float) ** 2)))


@pytest.mark.parametrize("rate_hz", [8_000, 24_000, 192_000])
def test_offset_and_rumble_are_removed(rate_hz: int) -> None:
    low = tone(4, rate_hz, hz=20) + np.float32(0.05)
    middle = slice(rate_hz, 3 * rate_hz)
    assert np.abs(high_pass(low, rate_hz)[middle]).max() < 0.003


@pytest.mark.parametrize("hz", [85, 200, 3000])
def test_voice_is_unchanged(hz: float) -> None:
    sound = tone(4, hz=hz)
    np.testing.assert_allclose(high_pass(sound, 24_000)[24_000:-24_000], sound[24_000:-24_000], rtol=0, atol=0.03)


@pytest.mark.parametrize("gain", [0.003, 0.03, 1.0, 3.0])
def test_every_level_becomes_the_same(gain: float) -> None:
    sound = np.concatenate([speech(2), np.zeros(48_000, np.float32), speech(2)])
    levelled = level_speech(np.asarray(sound * np.float32(gain)), 24_000)
    np.testing.assert_allclose(levelled, level_speech(sound, 24_000), rtol=1e-3, atol=1e-12)
    assert 20 * np.log10(rms(levelled[:48_000])) == pytest.approx(SPEECH_DBFS, abs=2)


def test_peaks_are_not_clipped() -> None:
    sound = speech(2) * np.float32(0.1)
    sound[30_000] = 0.9
    assert np.abs(level_speech(sound, 24_000)).max() == pytest.approx(0.99, abs=1e-4)

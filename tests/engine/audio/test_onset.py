"""Speech starts without a click."""

import numpy as np
import pytest

from sayline_tts.engine.audio.onset import FADE_SAMPLES, fade_in


def test_step_of_the_codec_is_removed_and_the_rest_is_unchanged() -> None:
    pcm = np.full(1920, 0.1, np.float32)
    pcm[:3] = -426 / 32768, -188 / 32768, -17 / 32768
    faded = fade_in(pcm)
    assert np.abs(faded[:3]).max() < 1 / 32768
    np.testing.assert_array_equal(faded[FADE_SAMPLES:], pcm[FADE_SAMPLES:])
    assert pcm[0] == np.float32(-426 / 32768), "the input is shared and must not change"


@pytest.mark.parametrize("samples", [0, 1, 47, 48, 49])
def test_short_frames_are_faded_too(samples: int) -> None:
    faded = fade_in(np.ones(samples, np.float32))
    assert len(faded) == samples
    assert (np.diff(faded) >= 0).all()


def test_burst_of_a_plosive_keeps_its_energy() -> None:
    """Five milliseconds of noise right at the start, which no voice has."""
    burst = np.zeros(1920, np.float32)
    burst[:120] = np.random.default_rng(0).standard_normal(120)
    assert np.square(fade_in(burst)).sum() > 0.7 * np.square(burst).sum()

"""Measures of sounds whose answer is known."""

import numpy as np
import pytest

from training.evaluation.measures import aligned, compare, pitch, spoken_span
from training.evaluation.timbre import Classifier

RATE_HZ = 16000


def buzz(hz: float, seconds: float = 0.5, tilt: float = 1.0) -> np.ndarray:
    """A voice of many harmonics, the higher the softer."""
    time_s = np.arange(round(seconds * RATE_HZ)) / RATE_HZ
    tones = [np.sin(2 * np.pi * hz * n * time_s) / n**tilt for n in range(1, 20) if hz * n < 7000]
    sound: np.ndarray = (0.1 * np.sum(tones, axis=0)).astype(np.float32)
    return sound


def test_speech_begins_and_ends_where_it_is_loud() -> None:
    sound = np.concatenate([np.zeros(RATE_HZ // 2), buzz(120), np.zeros(RATE_HZ)]).astype(np.float32)
    start_s, end_s = spoken_span(sound, RATE_HZ)
    assert start_s == pytest.approx(0.5, abs=0.03)
    assert end_s == pytest.approx(1.0, abs=0.03)


@pytest.mark.parametrize("hz", [80.0, 120.0, 220.0])
def test_the_pitch_of_a_buzz_is_told(hz: float) -> None:
    assert np.nanmedian(pitch(buzz(hz), RATE_HZ)) == pytest.approx(hz, rel=0.02)


def test_noise_has_hardly_a_pitch() -> None:
    noise = np.random.default_rng(0).normal(size=RATE_HZ).astype(np.float32)
    assert np.isnan(pitch(noise, RATE_HZ)).mean() > 0.9


def test_what_is_stretched_is_aligned() -> None:
    short = np.arange(4.0)[:, None]
    a, b = aligned(short, np.repeat(short, 2, axis=0))
    assert a.tolist() == [0, 0, 1, 1, 2, 2, 3, 3]
    assert b.tolist() == list(range(8))


def test_speech_is_nearer_to_itself_than_to_another_pitch_and_spectrum() -> None:
    sound, other = buzz(120), buzz(150, tilt=0.4)
    same, apart = compare(sound, sound, RATE_HZ), compare(sound, other, RATE_HZ)
    assert same.cepstral_db == 0.0
    assert apart.cepstral_db > 1.0
    assert apart.pitch_semitones == pytest.approx(12 * np.log2(150 / 120), abs=0.2)
    assert same.pitch_semitones == 0.0


def test_two_spectra_are_told_apart() -> None:
    soft = {
        "soft": [buzz(hz, tilt=1.2) for hz in (100, 130, 160)],
        "sharp": [buzz(hz, tilt=0.3) for hz in (100, 130, 160)],
    }
    classifier = Classifier(soft, RATE_HZ)
    assert classifier.who(buzz(115, tilt=1.1)) == "soft"
    assert classifier.who(buzz(115, tilt=0.4)) == "sharp"

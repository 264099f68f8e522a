"""Acoustic measures of signals with known values."""

import numpy as np
import pytest

from training.evaluation.measures import pitch, speech_span
from training.evaluation.timbre import SpeakerClassifier

RATE_HZ = 16000


def buzz(hz: float, seconds: float = 0.5, tilt: float = 1.0) -> np.ndarray:
    """A voice of many harmonics, the higher the softer."""
    time_s = np.arange(round(seconds * RATE_HZ)) / RATE_HZ
    tones = [np.sin(2 * np.pi * hz * n * time_s) / n**tilt for n in range(1, 20) if hz * n < 7000]
    audio: np.ndarray = (0.1 * np.sum(tones, axis=0)).astype(np.float32)
    return audio


def test_speech_span_excludes_silence() -> None:
    audio = np.concatenate([np.zeros(RATE_HZ // 2), buzz(120), np.zeros(RATE_HZ)]).astype(np.float32)
    start_s, end_s = speech_span(audio, RATE_HZ)
    assert start_s == pytest.approx(0.5, abs=0.03)
    assert end_s == pytest.approx(1.0, abs=0.03)


@pytest.mark.parametrize("hz", [80.0, 120.0, 220.0])
def test_pitch_of_a_harmonic_tone(hz: float) -> None:
    assert np.nanmedian(pitch(buzz(hz), RATE_HZ)) == pytest.approx(hz, rel=0.02)


def test_noise_is_mostly_unvoiced() -> None:
    noise = np.random.default_rng(0).normal(size=RATE_HZ).astype(np.float32)
    assert np.isnan(pitch(noise, RATE_HZ)).mean() > 0.9


def test_speaker_classifier_separates_spectra() -> None:
    soft = {
        "soft": [buzz(hz, tilt=1.2) for hz in (100, 130, 160)],
        "sharp": [buzz(hz, tilt=0.3) for hz in (100, 130, 160)],
    }
    classifier = SpeakerClassifier(soft, RATE_HZ)
    assert classifier.classify(buzz(115, tilt=1.1)) == "soft"
    assert classifier.classify(buzz(115, tilt=0.4)) == "sharp"

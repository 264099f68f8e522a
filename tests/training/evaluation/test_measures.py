"""Acoustic measures of signals with known values."""

import numpy as np
import pytest

from training.evaluation.measures import compare, dtw_path, pitch, speech_span
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


def test_dtw_aligns_a_stretched_sequence() -> None:
    short = np.arange(4.0)[:, None]
    a, b = dtw_path(short, np.repeat(short, 2, axis=0))
    assert a.tolist() == [0, 0, 1, 1, 2, 2, 3, 3]
    assert b.tolist() == list(range(8))


def test_similarity_reflects_pitch_and_spectrum() -> None:
    audio, other = buzz(120), buzz(150, tilt=0.4)
    same, different = compare(audio, audio, RATE_HZ), compare(audio, other, RATE_HZ)
    assert same.cepstral_db == 0.0
    assert different.cepstral_db > 1.0
    assert different.pitch_semitones == pytest.approx(12 * np.log2(150 / 120), abs=0.2)
    assert same.pitch_semitones == 0.0


def test_speaker_classifier_separates_spectra() -> None:
    soft = {
        "soft": [buzz(hz, tilt=1.2) for hz in (100, 130, 160)],
        "sharp": [buzz(hz, tilt=0.3) for hz in (100, 130, 160)],
    }
    classifier = SpeakerClassifier(soft, RATE_HZ)
    assert classifier.classify(buzz(115, tilt=1.1)) == "soft"
    assert classifier.classify(buzz(115, tilt=0.4)) == "sharp"

"""Pitch, formants and speaking rate of transformed signals."""

import numpy as np
import pytest

from training.data.psola import PitchMarks, VoiceTransform, transform_voice
from training.evaluation.measures import pitch

RATE_HZ, HOP_SAMPLES = 24_000, 300


def pulses(hz: float, seconds: float = 1.0) -> np.ndarray:
    """A pulse train through one resonance at 1,000 Hz."""
    samples = np.arange(round(seconds * RATE_HZ))
    train = np.diff(np.floor(samples * hz / RATE_HZ), prepend=0.0)
    resonance = np.exp(-np.arange(480) / 60) * np.sin(2 * np.pi * 1000 * np.arange(480) / RATE_HZ)
    return np.convolve(train, resonance)[: len(samples)].astype(np.float32)


def transformed(transform: VoiceTransform, hz: float = 200.0) -> np.ndarray:
    audio = pulses(hz)
    frames = len(audio) // HOP_SAMPLES
    marks = PitchMarks.from_track(np.full(frames, hz, np.float32), np.ones(frames, bool), HOP_SAMPLES, RATE_HZ)
    return transform_voice(audio, marks, transform, RATE_HZ)


def spectral_centroid_hz(audio: np.ndarray) -> float:
    power = np.abs(np.fft.rfft(audio * np.hanning(len(audio)))) ** 2
    return float((power * np.fft.rfftfreq(len(audio), 1 / RATE_HZ)).sum() / power.sum())


@pytest.mark.parametrize("factor", [0.6, 1.0, 1.2])
def test_pitch_is_multiplied(factor: float) -> None:
    found = pitch(transformed(VoiceTransform(pitch=factor)).astype(np.float32), RATE_HZ)
    assert np.nanmedian(found) == pytest.approx(200 * factor, rel=0.03)


def test_formants_move_without_the_pitch() -> None:
    lower = transformed(VoiceTransform(formants=0.85))
    assert spectral_centroid_hz(lower) == pytest.approx(
        0.85 * spectral_centroid_hz(transformed(VoiceTransform())), rel=0.08
    )
    assert np.nanmedian(pitch(lower.astype(np.float32), RATE_HZ)) == pytest.approx(200, rel=0.03)


def test_speaking_rate_changes_without_the_pitch() -> None:
    faster = transformed(VoiceTransform(rate=1.25))
    assert len(faster) == RATE_HZ * 4 // 5
    assert np.nanmedian(pitch(faster.astype(np.float32), RATE_HZ)) == pytest.approx(200, rel=0.03)


def test_pitch_range_is_an_exponent() -> None:
    marks = PitchMarks(np.arange(3), np.array([100.0, 200.0, 400.0]), np.ones(3, bool))
    assert marks.target_hz(VoiceTransform(pitch_range=0.5)) == pytest.approx([200 * 0.5**0.5, 200, 200 * 2**0.5])


def test_unvoiced_marks_are_regular() -> None:
    marks = PitchMarks.from_track(np.zeros(10, np.float32), np.zeros(10, bool), HOP_SAMPLES, RATE_HZ)
    assert not marks.voiced.any()
    assert np.abs(np.diff(marks.at) - 120).max() <= 1

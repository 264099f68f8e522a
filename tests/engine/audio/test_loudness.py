"""Loudness by EBU R 128: the filters of BS.1770, the gates of EBU Tech 3341, and gain without clipping."""

import numpy as np
import pytest

from sayline_tts.engine.audio.loudness import LIMITER_KNEE, amplify, integrated_loudness
from tests.engine.sounds import speech, tone


def levels(*parts: tuple[float, float]) -> np.ndarray:
    """A tone of 1 kHz with parts of so many seconds and LUFS."""
    return np.concatenate([tone(seconds, hz=1000, peak=10 ** ((lufs + 3) / 20)) for seconds, lufs in parts])


@pytest.mark.parametrize("rate_hz", [16_000, 24_000, 44_100, 48_000])
def test_tone_of_997_hz_at_full_scale_is_3_lu_below_it(rate_hz: int) -> None:
    assert integrated_loudness(tone(3, rate_hz, 997, peak=1), rate_hz) == pytest.approx(-3.01, abs=0.05)


# Of the two filters at 48 kHz, from ITU-R BS.1770-4, tables 1 and 2.
PUBLISHED = (
    ((1.53512485958697, -2.69169618940638, 1.19839281085285), (1.0, -1.69065929318241, 0.73248077421585)),
    ((1.0, -2.0, 1.0), (1.0, -1.99004745483398, 0.99007225036621)),
)


@pytest.mark.parametrize("hz", [60, 100, 500, 997, 2000, 6000])
def test_frequencies_are_weighted_as_the_standard_says(hz: float) -> None:
    z = np.exp(-2j * np.pi * hz / 48_000) ** np.arange(3)
    gain = np.prod([abs(np.dot(b, z) / np.dot(a, z)) for b, a in PUBLISHED])
    expected = 20 * np.log10(gain) - 0.691 - 3.01
    assert integrated_loudness(tone(3, 48_000, hz, peak=1), 48_000) == pytest.approx(expected, abs=0.03)


@pytest.mark.parametrize(
    ("parts", "lufs"),
    [
        ([(5, -23)], -23),
        ([(5, -33)], -33),
        ([(2, -36), (12, -23), (2, -36)], -23),  # the relative gate
        ([(2, -72), (2, -36), (12, -23), (2, -36), (2, -72)], -23),  # and the absolute one
    ],
)
def test_quiet_parts_do_not_count(parts: list[tuple[float, float]], lufs: float) -> None:
    assert integrated_loudness(levels(*parts), 24_000) == pytest.approx(lufs, abs=0.1)


@pytest.mark.parametrize("samples", [0, 100, 24_000])
def test_silence_has_no_loudness(samples: int) -> None:
    assert integrated_loudness(np.zeros(samples, np.float32), 24_000) == -np.inf


def test_gain_changes_loudness_by_as_much() -> None:
    sound = speech() * 0.2
    louder = integrated_loudness(amplify(sound, 2.0), 24_000)
    assert louder - integrated_loudness(sound, 24_000) == pytest.approx(6.02, abs=0.01)


def test_peaks_are_rounded_off_and_stay_within_full_scale() -> None:
    ramp = np.linspace(-1, 1, 2001, dtype=np.float32)
    louder = amplify(ramp, 4.0)
    assert louder.dtype == np.float32
    assert np.abs(louder).max() <= 1
    assert (np.diff(louder) >= 0).all()
    inside = np.abs(4 * ramp) <= LIMITER_KNEE
    assert np.array_equal(louder[inside], 4 * ramp[inside])


def test_softer_sound_is_only_multiplied() -> None:
    loud = np.full(10, 1.0, np.float32)
    assert np.array_equal(amplify(loud, 0.5), loud / 2)
    assert len(amplify(loud[:0], 2.0)) == 0

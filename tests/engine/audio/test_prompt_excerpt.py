"""The excerpt of a recording is short enough, full of speech, of typical level, and between pauses."""

import numpy as np
import pytest

from sayline_tts.engine.audio.prompt_excerpt import Samples, find_excerpt, speech_power

RATE_HZ = 16_000


def talk(*parts: float, level: float = 0.1, noise: float = 1e-4) -> Samples:
    """Phrases and pauses in turn, of these lengths in seconds: noise for speech, faint noise for pauses."""
    rng = np.random.default_rng(0)
    pieces = [
        rng.normal(0, noise if index % 2 else level, round(seconds * RATE_HZ)) for index, seconds in enumerate(parts)
    ]
    return np.concatenate(pieces).astype(np.float32)


def excerpt_s(mono: Samples, max_s: float) -> tuple[float, float]:
    start, end = find_excerpt(mono, RATE_HZ, max_s)
    assert 0 <= start < end <= len(mono)
    assert end - start <= max_s * RATE_HZ
    return start / RATE_HZ, end / RATE_HZ


def test_short_recording_is_used_whole() -> None:
    mono = talk(1.0, 0.5, 1.0)
    assert find_excerpt(mono, RATE_HZ, 2.5) == (0, len(mono))


def test_excerpt_has_the_most_speech_and_ends_in_a_pause() -> None:
    # Phrases: 0 to 1, 3 to 5, 5.3 to 6.8, 9 to 10 s. The two in the middle fit together.
    start_s, end_s = excerpt_s(talk(1.0, 2.0, 2.0, 0.3, 1.5, 2.2, 1.0), 4.0)
    assert start_s == pytest.approx(2.94, abs=0.03)
    assert end_s == pytest.approx(6.86, abs=0.03)


def test_margins_are_kept_within_the_limit() -> None:
    start_s, end_s = excerpt_s(talk(2.0, 1.0, 2.98, 1.0, 2.0), 3.0)
    assert start_s == pytest.approx(2.99, abs=0.02)
    assert end_s == pytest.approx(5.99, abs=0.02)


def test_speech_of_typical_level_is_preferred() -> None:
    quiet, usual = talk(2.5, 0.5, level=0.005), talk(2.5, 0.5, level=0.1)
    start_s, _ = excerpt_s(np.concatenate([quiet, usual, usual]), 3.2)
    assert start_s >= 2.9


def test_unbroken_speech_is_cut_where_it_is_quietest() -> None:
    mono = talk(12.0)
    mono[round(3.5 * RATE_HZ) : round(3.52 * RATE_HZ)] *= 0.2  # too short for a pause
    start_s, end_s = excerpt_s(mono, 4.0)
    assert start_s == 0
    assert end_s == pytest.approx(3.52, abs=0.021)


def test_noisy_pauses_are_still_pauses() -> None:
    start_s, end_s = excerpt_s(talk(1.5, 0.5, 3.0, 0.5, 1.5, noise=0.02), 3.5)
    assert start_s == pytest.approx(1.94, abs=0.03)
    assert end_s == pytest.approx(5.06, abs=0.03)


@pytest.mark.parametrize("mono", [np.zeros(160_000, np.float32), talk(0.1, 9.9), talk(10.0)], ids=["0", "click", "1"])
def test_any_sound_has_an_excerpt(mono: Samples) -> None:
    excerpt_s(mono, 3.0)


def test_pauses_do_not_count_for_the_power_of_speech() -> None:
    assert speech_power(talk(1.0), RATE_HZ) == pytest.approx(0.01, rel=0.05)
    assert speech_power(talk(1.0, 3.0, 1.0), RATE_HZ) == pytest.approx(0.01, rel=0.05)

"""The damaged recordings, and the table."""

from collections.abc import Sequence

import numpy as np
import pytest

from training.data.speakers import SAMPLE_RATE_HZ
from training.evaluation.measures import Audio
from training.evaluation.recording_variants import VARIANTS, Comparison, Likeness, table


def hum(hz: float) -> Audio:
    at_s = np.arange(2 * SAMPLE_RATE_HZ) / SAMPLE_RATE_HZ
    return np.asarray(np.sum([0.05 * np.sin(2 * np.pi * hz * n * at_s) / n for n in range(1, 20)], axis=0), np.float32)


class FakeEncoder:
    def embed(self, clips: Sequence[Audio], rate_hz: int) -> np.ndarray:
        return np.array([1.0, 0.0]) if np.std(clips[0]) > 0.01 else np.array([0.6, 0.8])


@pytest.mark.parametrize("name", VARIANTS)
def test_variants_have_the_speech_and_nothing_else_but_their_defect(name: str) -> None:
    clean = hum(100)
    damaged = VARIANTS[name](clean)
    assert damaged.dtype == np.float32
    assert np.abs(damaged).max() <= 1
    assert len(damaged) > 0.99 * len(clean)
    # Wherever it lies: pauses, codecs and filters move it.
    shared = np.correlate(damaged, clean[: SAMPLE_RATE_HZ // 4]).max()
    strongest = np.sqrt(np.sum(clean[: SAMPLE_RATE_HZ // 4] ** 2)) * np.sqrt(np.mean(damaged**2) * SAMPLE_RATE_HZ / 4)
    assert shared / strongest > 0.3


def test_likeness_is_measured_against_the_clean_clone() -> None:
    likeness = Comparison(FakeEncoder(), [hum(100)]).likeness([hum(120) * np.float32(0.01)])
    assert likeness.similarity == pytest.approx(0.6)
    assert likeness.semitones == pytest.approx(12 * np.log2(1.2), abs=0.2)


def test_table_compares_with_and_without_conditioning() -> None:
    lines = table({"clean": {"server": Likeness(1.0, 0.0), "plain": Likeness(0.912, -1.26)}}).splitlines()
    assert lines[2] == "| clean | 1.00 | +0.0 | 0.91 | -1.3 |"

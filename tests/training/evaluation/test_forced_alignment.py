"""Word times of the synthesizer and of the recognizer."""

import ctypes.util

import numpy as np
import pytest

pytest.importorskip("pocketsphinx", reason="the recogniser's wheel is not there (pip install pocketsphinx)")

from training.data.flite import Phone
from training.data.speakers import SAMPLE_RATE_HZ, SynthesizedClip, find_speaker
from training.evaluation.forced_alignment import ForcedAligner, synthesizer_intervals

PHONES = [Phone("pau", 0.05, -1), Phone("y", 0.1, 0), Phone("eh", 0.3, 0), Phone("pau", 0.4, -1), Phone("b", 0.6, 1)]


def test_silence_between_words_belongs_to_neither() -> None:
    times = synthesizer_intervals(SynthesizedClip(np.zeros(0, np.int16), PHONES), 2)
    assert times is not None
    assert np.array(times) == pytest.approx(np.array([(50, 300), (400, 600)]))


def test_mismatched_word_count_gives_no_intervals() -> None:
    assert synthesizer_intervals(SynthesizedClip(np.zeros(0, np.int16), PHONES), 3) is None
    assert synthesizer_intervals(SynthesizedClip(np.zeros(0, np.int16), PHONES), 1) is None


def test_out_of_vocabulary_words_are_not_aligned() -> None:
    aligner = ForcedAligner()
    assert aligner.out_of_vocabulary(["Yes,", "xyzzyq-two"]) == ["xyzzyq"]
    assert aligner.times(np.zeros(SAMPLE_RATE_HZ, np.float32), SAMPLE_RATE_HZ, ["xyzzyq"]) is None


def test_too_short_audio_is_not_aligned() -> None:
    blip = np.random.default_rng(1).normal(0, 0.1, 1920).astype(np.float32)
    assert ForcedAligner().times(blip, SAMPLE_RATE_HZ, ["incomprehensible"] * 20) is None


@pytest.mark.skipif(not ctypes.util.find_library("flite"), reason="needs Debian's libflite1")
def test_forced_alignment_agrees_with_the_synthesizer() -> None:
    clip = find_speaker("ross").synthesize("Twenty-two people walked home, and nobody was tired.")
    reference = synthesizer_intervals(clip, 8)
    audio = clip.samples.astype(np.float32) / np.float32(2**15)
    words = ["twenty two", "people", "walked", "home,", "and", "nobody", "was", "tired."]
    aligned = ForcedAligner().times(audio, SAMPLE_RATE_HZ, words)
    assert reference is not None
    assert aligned is not None
    assert np.abs(np.subtract(aligned, reference)).mean() < 40

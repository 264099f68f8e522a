"""training/evaluation/word_times.py: the synthesizer's times of words, and a recogniser's."""

import ctypes.util

import numpy as np
import pytest

pytest.importorskip("pocketsphinx", reason="the recogniser's wheel is not there (pip install pocketsphinx)")

from training.data.flite import Phone
from training.data.speakers import SAMPLE_RATE, Clip, speaker
from training.evaluation.word_times import ForcedAligner, flite_times

PHONES = [Phone("pau", 0.05, -1), Phone("y", 0.1, 0), Phone("eh", 0.3, 0), Phone("pau", 0.4, -1), Phone("b", 0.6, 1)]


def test_silence_between_words_belongs_to_neither() -> None:
    times = flite_times(Clip(np.zeros(0, np.int16), PHONES), 2)
    assert times is not None
    assert np.array(times) == pytest.approx(np.array([(50, 300), (400, 600)]))


def test_who_reads_more_or_fewer_words_tells_nothing() -> None:
    assert flite_times(Clip(np.zeros(0, np.int16), PHONES), 3) is None
    assert flite_times(Clip(np.zeros(0, np.int16), PHONES), 1) is None


def test_words_that_the_recogniser_does_not_know_are_told_and_not_aligned() -> None:
    aligner = ForcedAligner()
    assert aligner.unknown(["Yes,", "xyzzyq-two"]) == ["xyzzyq"]
    assert aligner.times(np.zeros(SAMPLE_RATE, np.float32), SAMPLE_RATE, ["xyzzyq"]) is None


def test_what_is_too_short_for_its_words_is_not_aligned() -> None:
    blip = np.random.default_rng(1).normal(0, 0.1, 1920).astype(np.float32)
    assert ForcedAligner().times(blip, SAMPLE_RATE, ["incomprehensible"] * 20) is None


@pytest.mark.skipif(not ctypes.util.find_library("flite"), reason="needs Debian's libflite1")
def test_recogniser_and_synthesizer_agree_about_its_words() -> None:
    clip = speaker("ross").speak("Twenty-two people walked home, and nobody was tired.")
    truth = flite_times(clip, 8)
    audio = clip.samples.astype(np.float32) / np.float32(2**15)
    words = ["twenty two", "people", "walked", "home,", "and", "nobody", "was", "tired."]
    heard = ForcedAligner().times(audio, SAMPLE_RATE, words)
    assert truth is not None
    assert heard is not None
    assert np.abs(np.subtract(heard, truth)).mean() < 40

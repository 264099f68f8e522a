"""Measures of the guard, by a judge that is told what it hears."""

from typing import cast

import numpy as np
import pytest

from sayline_tts.engine.checkpoint.checkpoint import EMBEDDED
from training.evaluation.judges import JudgedClip, Judges
from training.evaluation.speech_faults import FaultMeasure, GuardedSynthesizer, Speech


class ScriptedJudges:
    """Hears each clip as its first sample says: so many words are missing at its end."""

    def __init__(self) -> None:
        self.calls = 0

    def judge(self, text: str, audio: np.ndarray, rate_hz: int, rated: bool) -> JudgedClip:
        self.calls += 1
        words, missing = len(text.split()), int(audio[0])
        return JudgedClip(text, "", words, missing, missing)


def speech(missing: int, missed: tuple[str, ...] = (), retries: int = 0) -> Speech:
    return Speech(np.array([missing, len(missed)], np.float32), missed, frames=10, retries=retries)


def test_agreement_of_attention_and_recognizer_is_counted_and_equal_audio_is_judged_once() -> None:
    judges = ScriptedJudges()
    measure = FaultMeasure(cast(Judges, judges))
    texts = ["one two", "three four", "five six", "seven eight"]
    spoken = [speech(0), speech(1), speech(0, ("five",)), speech(2, ("seven", "eight"), retries=3)]
    measured = measure.measure(texts, spoken, 24_000)
    assert (measured["words"], measured["word_error_rate"], measured["without_errors"]) == (8, 0.375, 2)
    assert (measured["frames"], measured["retried_frames"], measured["texts_retried"]) == (40, 3, 1)
    assert measured["missed_words"] == [("five six", ("five",)), ("seven eight", ("seven", "eight"))]
    counted = [measured[f"texts_missed_by_{who}"] for who in ("attention", "recognizer", "both")]
    assert counted == [2, 2, 1]
    measure.measure(texts, spoken, 24_000)
    assert judges.calls == 4


@pytest.mark.slow
def test_guarded_speech_without_faults_is_the_same() -> None:
    synthesizer = GuardedSynthesizer(EMBEDDED / "config.yaml")
    plain, guarded = (synthesizer.synthesize("It is late.", 0, 0.0, guarded, 1) for guarded in (False, True))
    synthesizer.close()
    assert np.array_equal(plain.audio, guarded.audio)
    assert (plain.missed, plain.retries, guarded.retries) == ((), 0, 0)
    assert plain.frames == guarded.frames

"""The embedded voice speaks ten sentences; what it tells of their words is held against a recogniser's times."""

import numpy as np
import pytest

pytest.importorskip("pocketsphinx", reason="the recogniser's wheel is not there (pip install pocketsphinx)")

from sayline_tts.engine.checkpoint.checkpoint import EMBEDDED
from training.evaluation.evaluate import SENTENCES
from training.evaluation.spoken_words import WordSpeaker
from training.evaluation.word_times import ForcedAligner

WITHIN_MS = 80  # mean error of starts and ends; half of that is usual
ALIGNED = 8  # of ten sentences: where the voice says something else there is no true time


def test_the_times_of_ten_sentences_are_true_and_nearer_than_an_estimate() -> None:
    speaker, aligner = WordSpeaker(EMBEDDED / "config.yaml"), ForcedAligner()
    voices = speaker.model.checkpoint.voices()
    told_ms, estimated_ms = [], []
    for place, text in enumerate(SENTENCES.read_text(encoding="utf-8").splitlines()[:10]):
        said = speaker.say(voices[place % len(voices)], text)
        truth = aligner.times(said.sound, speaker.rate_hz, said.spoken)
        if truth is not None and said.estimated is not None:
            told_ms.append(np.abs(np.subtract(said.told, truth)))
            estimated_ms.append(np.abs(np.subtract(said.estimated, truth)))
    assert len(told_ms) >= ALIGNED
    told, estimated = np.concatenate(told_ms).mean(), np.concatenate(estimated_ms).mean()
    assert told < WITHIN_MS
    assert told < estimated / 3

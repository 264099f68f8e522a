"""Accuracy of the embedded voice's word timestamps on ten sentences."""

import numpy as np
import pytest

pytest.importorskip("pocketsphinx", reason="the recogniser's wheel is not there (pip install pocketsphinx)")

from sayline_tts.engine.checkpoint.checkpoint import EMBEDDED
from training.evaluation.evaluate import SENTENCES
from training.evaluation.forced_alignment import ForcedAligner
from training.evaluation.timestamped_synthesis import TimestampedSynthesizer

pytestmark = pytest.mark.slow
MAX_ERROR_MS = 80  # mean error of starts and ends; half of that is usual
MIN_ALIGNED = 8  # of ten sentences: a mispronounced sentence cannot be aligned


def test_reported_timestamps_are_accurate_and_better_than_estimates() -> None:
    speaker, aligner = TimestampedSynthesizer(EMBEDDED / "config.yaml"), ForcedAligner()
    voices = speaker.model.checkpoint.voices()
    reported_ms, estimated_ms = [], []
    for index, text in enumerate(SENTENCES.read_text(encoding="utf-8").splitlines()[:10]):
        speech = speaker.synthesize(voices[index % len(voices)], text)
        reference = aligner.times(speech.audio, speaker.rate_hz, speech.spoken)
        if reference is not None and speech.estimated is not None:
            reported_ms.append(np.abs(np.subtract(speech.reported, reference)))
            estimated_ms.append(np.abs(np.subtract(speech.estimated, reference)))
    assert len(reported_ms) >= MIN_ALIGNED
    reported, estimated = np.concatenate(reported_ms).mean(), np.concatenate(estimated_ms).mean()
    assert reported < MAX_ERROR_MS
    assert reported < estimated / 3

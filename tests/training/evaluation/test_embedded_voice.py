"""The embedded voice is intelligible and has the pace of its teachers.

This detects regressions of text, engine or weights; `make evaluate` measures the quality.
"""

from importlib.util import find_spec

import numpy as np
import pytest

from sayline_tts.engine.tts_model import TTSModel
from training.evaluation.measures import speech_s
from training.evaluation.recognition import WHISPER_PACKAGES, find_recognizer, word_error_rate

# Sentences that no training saw, their speaker, and how long the synthesizer takes for them, in seconds.
SENTENCES = (
    ("This is supposed to be educational.", "clara", 1.79),
    ("It just means not enough people to make a minority.", "adam", 2.38),
    ("It is far more impressive when others discover your good qualities without your help.", "nora", 4.60),
    ("No transfers issued until the bus comes to a complete stop.", "ross", 3.27),
    ("Many people resent being treated like the person they really are.", "clara", 3.17),
    ("In general, they do what you want, unless you want consistency.", "clara", 3.40),
    ("Everything that can be invented has been invented.", "ross", 2.51),
    ("An accident that couldn't wait to happen.", "nora", 2.03),
    ("There might be a law against it by that time.", "adam", 1.91),
    ("You have been selected for a secret mission.", "clara", 1.88),
)
MAX_WORD_ERROR_RATE = {"Whisper tiny.en": 0.1, "pocketsphinx": 0.25}
PAUSE_SAMPLES = 4800  # before and after each sentence
RATED = 4  # sentences, one of each voice
MIN_OVERALL, MIN_P808 = 2.2, 2.6  # mean opinion scores
LENGTH_TOLERANCE = 0.3

DNSMOS_PACKAGES = ("speechmos", "librosa")
MISSING = [name for name in (*WHISPER_PACKAGES, *DNSMOS_PACKAGES, "onnxruntime") if not find_spec(name)]


@pytest.fixture(scope="module")
def spoken() -> list[np.ndarray]:
    model = TTSModel.load_model("embedded")
    states = {voice: model.get_state_for_voice(voice) for voice in model.voices}
    return [model.generate_audio(states[voice], text, seed=1).numpy() for text, voice, _ in SENTENCES]


def test_nearly_all_words_are_recognized(spoken: list[np.ndarray]) -> None:
    recognizer = find_recognizer()
    text = " ".join(text for text, _, _ in SENTENCES)
    audio = np.concatenate([np.pad(clip, PAUSE_SAMPLES) for clip in spoken])  # Whisper takes as long for one sentence
    assert word_error_rate(recognizer, [text], [audio], 24_000) <= MAX_WORD_ERROR_RATE[recognizer.name]


@pytest.mark.skipif(bool(MISSING), reason=f"{', '.join(MISSING)} missing: install the extra `test` again (make test)")
def test_predicted_opinion_scores(spoken: list[np.ndarray]) -> None:
    from training.evaluation.dnsmos import Dnsmos

    dnsmos = Dnsmos()
    ratings = [dnsmos.rate(audio, 24_000) for audio in spoken[:RATED]]
    assert np.mean([rating.overall for rating in ratings]) >= MIN_OVERALL, ratings
    assert np.mean([rating.p808 for rating in ratings]) >= MIN_P808, ratings


def test_durations_match_the_synthesizer(spoken: list[np.ndarray]) -> None:
    shares = [speech_s(audio, 24000) / seconds for (_, _, seconds), audio in zip(SENTENCES, spoken, strict=True)]
    assert shares == pytest.approx([1.0] * len(shares), abs=LENGTH_TOLERANCE)

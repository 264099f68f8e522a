"""The embedded voice is intelligible and has the pace of its teachers.

This detects regressions of text, engine or weights; `make evaluate` measures the quality.
"""

import numpy as np
import pytest

from sayline_tts.engine.tts_model import TTSModel
from training.evaluation.asr_wer import SpeechRecognizer, word_errors, words_of
from training.evaluation.measures import speech_s

# Sentences that no training saw, their speaker, and how long the synthesizer takes for them, in seconds.
SENTENCES = (
    ("This is supposed to be educational.", "clara", 2.32),
    ("It just means not enough people to make a minority.", "angus", 2.79),
    ("It is far more impressive when others discover your good qualities without your help.", "fiona", 4.77),
    ("No transfers issued until the bus comes to a complete stop.", "ross", 3.94),
    ("Many people resent being treated like the person they really are.", "clara", 3.53),
    ("In general, they do what you want, unless you want consistency.", "clara", 4.18),
    ("Everything that can be invented has been invented.", "ross", 3.31),
    ("An accident that couldn't wait to happen.", "fiona", 2.06),
    ("There might be a law against it by that time.", "angus", 2.39),
    ("You have been selected for a secret mission.", "clara", 2.40),
)
MAX_WORD_ERROR_RATE = 0.25
LENGTH_TOLERANCE = 0.3


@pytest.fixture(scope="module")
def spoken() -> list[np.ndarray]:
    model = TTSModel.load_model("embedded")
    states = {voice: model.get_state_for_voice(voice) for voice in model.voices}
    return [model.generate_audio(states[voice], text, seed=1).numpy() for text, voice, _ in SENTENCES]


def test_most_words_are_recognized(spoken: list[np.ndarray]) -> None:
    recognizer = SpeechRecognizer()
    errors = [
        word_errors(words_of(text), recognizer.transcribe(audio, 24000))
        for (text, _, _), audio in zip(SENTENCES, spoken, strict=True)
    ]
    assert sum(errors) <= MAX_WORD_ERROR_RATE * sum(len(words_of(text)) for text, _, _ in SENTENCES), errors


def test_durations_match_the_synthesizer(spoken: list[np.ndarray]) -> None:
    shares = [speech_s(audio, 24000) / seconds for (_, _, seconds), audio in zip(SENTENCES, spoken, strict=True)]
    assert shares == pytest.approx([1.0] * len(shares), abs=LENGTH_TOLERANCE)

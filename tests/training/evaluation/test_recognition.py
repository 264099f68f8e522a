"""Word errors over several clips, and the choice of the recognizer."""

import numpy as np
import pytest

from training.evaluation import recognition
from training.evaluation.recognition import find_recognizer, word_error_rate


class Echo:
    """Recognizes one word per sample."""

    name = "echo"

    def transcribe(self, audio: np.ndarray, rate_hz: int) -> str:
        return " ".join(["Colour!", "green", "blue"][: len(audio)])


def test_word_error_rate_is_weighted_by_words_and_ignores_spelling() -> None:
    clips = [np.zeros(count, np.float32) for count in (0, 3)]
    assert word_error_rate(Echo(), ["Yes.", "Color, green, blue."], clips, 24_000) == 0.25


def test_pocketsphinx_is_the_fallback(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("pocketsphinx", reason="pocketsphinx is not installed")
    monkeypatch.setattr(recognition, "WHISPER_PACKAGES", ("no_such_package",))
    recognizer = find_recognizer()
    assert recognizer.name == "pocketsphinx"
    assert isinstance(recognizer.transcribe(np.zeros(24_000, np.float32), 24_000), str)  # any words, even of silence

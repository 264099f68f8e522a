"""Word error rates of reconstructed speech."""

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.training.speech_folder import make
from training.codec import reconstruct
from training.data.clips import Clip

TEXT = "red green blue grey"


class FakeCodec:
    """The teacher has all words, the autoencoder drops one, the codec drops all."""

    def __init__(self, work: Path) -> None: ...

    def reconstructions(self, clip: Clip) -> dict[str, NDArray[np.float32]]:
        return {
            name: np.full(1, words, np.float32) for name, words in (("teacher", 4), ("autoencoder", 3), ("codec", 0))
        }


class FakeRecognizer:
    name = "fake"

    def transcribe(self, audio: NDArray[np.float32], rate_hz: int) -> str:
        return " ".join(TEXT.split()[: int(audio[0])])


def test_word_error_rate_of_each_reconstruction(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    work = make(tmp_path)
    (work / "text").mkdir()
    (work / "text/sentences.txt").write_text(f"{TEXT}\n" * 101)
    monkeypatch.setattr(reconstruct, "TrainedCodec", FakeCodec)
    monkeypatch.setattr(reconstruct, "find_recognizer", FakeRecognizer)
    assert reconstruct.word_error_rates(work, 10) == {"teacher": 0, "autoencoder": 0.25, "codec": 1}


def test_training_without_checkpoint_has_no_steps(tmp_path: Path) -> None:
    assert reconstruct.steps_of(tmp_path) == 0

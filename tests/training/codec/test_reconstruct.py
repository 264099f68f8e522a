"""training/codec/reconstruct.py: each way of speaking is heard and counted against the text."""

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.training.speech_folder import make
from training.codec import reconstruct
from training.data.clips import Clip

SAID = "one two three four"


class Speaking:
    """The teacher is plain, the sketch drops a word, the codec says nothing."""

    def __init__(self, work: Path) -> None: ...

    def spoken(self, clip: Clip) -> dict[str, NDArray[np.float32]]:
        return {name: np.full(1, words, np.float32) for name, words in (("teacher", 4), ("sketch", 3), ("codec", 0))}


class Hearing:
    def hear(self, audio: NDArray[np.float32], rate_hz: int) -> list[str]:
        return SAID.split()[: int(audio[0])]


def test_word_errors_of_each_way(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    work = make(tmp_path)
    (work / "text").mkdir()
    (work / "text/sentences.txt").write_text(f"{SAID}\n" * 101)
    monkeypatch.setattr(reconstruct, "Codec", Speaking)
    monkeypatch.setattr(reconstruct, "Recogniser", Hearing)
    assert reconstruct.word_error_rates(work, 10) == {"teacher": 0, "sketch": 0.25, "codec": 1}


def test_a_training_that_has_not_begun_has_no_steps(tmp_path: Path) -> None:
    assert reconstruct.steps_of(tmp_path) == 0

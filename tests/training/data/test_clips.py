"""Clips, their phone labels, and voices."""

import shutil
from pathlib import Path

import numpy as np
import pytest

from tests.training.speech_folder import FRAMES, make
from training.data.clips import augmented_speakers_of, read_clips, voices_of
from training.data.phones import PHONES

OW = PHONES.index("ow")


@pytest.fixture
def work(tmp_path: Path) -> Path:
    return make(tmp_path)


def test_held_out_speaker_is_not_among_the_voices(work: Path) -> None:
    assert voices_of(work / "speech") == ["ann", "bob"]


def test_validation_sentences_are_excluded_from_training(work: Path) -> None:
    assert {clip.sentence for clip in read_clips(work / "speech", ["ann"])} == {1, 2, 100}
    assert {clip.sentence for clip in read_clips(work / "speech", ["ann"], validation=True)} == {0}


def test_phones_at_times(work: Path) -> None:
    clip = read_clips(work / "speech", ["ann"])[1]
    assert clip.phones_at(np.array([-0.1, 0.0, 0.49, 0.51, 1.59, 1.7])).tolist() == [0, OW, OW, 0, 0, 0]


def test_clip_has_its_audio(work: Path) -> None:
    clip = read_clips(work / "speech", ["bob"])[2]
    assert len(clip.audio) == clip.samples == FRAMES * 1920
    assert abs(np.abs(clip.audio).max() - 8000 / 2**15) < 1e-3
    assert clip.voice == "bob"


def test_augmented_speakers_are_not_among_the_voices(work: Path) -> None:
    assert augmented_speakers_of(work / "speech") == []
    shutil.copytree(work / "speech/ann", work / "speech/augmented-000")
    assert augmented_speakers_of(work / "speech") == ["augmented-000"]
    assert voices_of(work / "speech") == ["ann", "bob"]

"""training/data/clips.py: clips and the sounds in them."""

import shutil
from pathlib import Path

import numpy as np
import pytest

from tests.training.speech_folder import FRAMES, make
from training.data.clips import read_clips, strangers_of, voices_of
from training.data.phones import PHONES

OW = PHONES.index("ow")


@pytest.fixture
def work(tmp_path: Path) -> Path:
    return make(tmp_path)


def test_the_held_out_speaker_is_not_among_the_models(work: Path) -> None:
    assert voices_of(work / "speech") == ["ann", "bob"]


def test_sentences_for_validation_are_not_trained(work: Path) -> None:
    assert {clip.sentence for clip in read_clips(work / "speech", ["ann"])} == {1, 2, 100}
    assert {clip.sentence for clip in read_clips(work / "speech", ["ann"], validation=True)} == {0}


def test_sounds_at_their_times(work: Path) -> None:
    clip = read_clips(work / "speech", ["ann"])[1]
    assert clip.phones_at(np.array([-0.1, 0.0, 0.49, 0.51, 1.59, 1.7])).tolist() == [0, OW, OW, 0, 0, 0]


def test_a_clip_is_whole(work: Path) -> None:
    clip = read_clips(work / "speech", ["bob"])[2]
    assert len(clip.audio) == clip.samples == FRAMES * 1920
    assert abs(np.abs(clip.audio).max() - 8000 / 2**15) < 1e-3
    assert clip.voice == "bob"


def test_strangers_are_none_of_the_models_speakers(work: Path) -> None:
    assert strangers_of(work / "speech") == []
    shutil.copytree(work / "speech/ann", work / "speech/stranger-000")
    assert strangers_of(work / "speech") == ["stranger-000"]
    assert voices_of(work / "speech") == ["ann", "bob"]

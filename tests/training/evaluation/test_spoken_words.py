"""training/evaluation/spoken_words.py with the embedded model, one of its heads said to follow the text. It need not be right."""

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("pocketsphinx", reason="the recogniser's wheel is not there (pip install pocketsphinx)")

from sayline_tts.engine.checkpoint.checkpoint import EMBEDDED
from sayline_tts.engine.errors import CheckpointError
from training.evaluation.spoken_words import SpokenWords, WordSpeaker


def checkpoint(folder: Path, alignment: str) -> Path:
    for file in EMBEDDED.iterdir():
        (folder / file.name).symlink_to(file)
    (folder / "alignment.yaml").unlink(missing_ok=True)
    (folder / "alignment.yaml").write_text(alignment, encoding="utf-8")
    return folder / "config.yaml"


@pytest.fixture(scope="module")
def speaker(tmp_path_factory: pytest.TempPathFactory) -> WordSpeaker:
    return WordSpeaker(checkpoint(tmp_path_factory.mktemp("model"), "heads: '0.0'\nlead_ms: 20.0\n"))


def voice(speaker: WordSpeaker) -> str:
    return speaker.model.checkpoint.voices()[0]


@pytest.fixture(scope="module")
def said(speaker: WordSpeaker) -> SpokenWords:
    return speaker.say(voice(speaker), "Yes, it is $5. That is all.")


def test_all_words_are_told_and_estimated_within_the_sound(said: SpokenWords, speaker: WordSpeaker) -> None:
    assert [word.text for word in said.words] == ["Yes,", "it", "is", "$5.", "That", "is", "all."]
    end_ms = 1000 * len(said.sound) / speaker.rate_hz
    for times in (said.told, said.estimated):
        assert times is not None
        assert len(times) == len(said.words)
        assert all(end <= start + 1e-6 for (_, end), (start, _) in pairwise(times))
        assert times[0][0] >= 0
        assert times[-1][1] <= end_ms + 1e-6


def test_what_was_kept_of_it_gives_the_same_times_again(said: SpokenWords, speaker: WordSpeaker) -> None:
    assert said.times(speaker.lead_ms) == said.told
    frames = sum(len(part.sound) for part in said.parts)
    assert sum(len(part.by_word()) for part in said.parts) == frames
    assert all(part.by_word().sum(axis=1) == pytest.approx(1, abs=1e-4) for part in said.parts)


def test_a_sentence_begins_anew_whatever_was_said_before(said: SpokenWords, speaker: WordSpeaker) -> None:
    again = speaker.say(voice(speaker), said.text)
    assert np.array_equal(again.sound, said.sound)
    assert again.told == said.told


def test_audio_of_somebody_else_is_told_as_one_segment(said: SpokenWords, speaker: WordSpeaker) -> None:
    repeated = speaker.repeat(voice(speaker), said.text, said.sound)
    assert [word.text for word in repeated.words] == [word.text for word in said.words]
    (part,) = repeated.parts
    assert len(part.attention) * 1920 == len(said.sound)
    assert np.array_equal(repeated.sound, said.sound)


def test_what_is_forced_is_what_it_looks_behind(said: SpokenWords, speaker: WordSpeaker) -> None:
    """The first frame has nothing before it; from then on another past gives another attention."""
    (one,) = speaker.repeat(voice(speaker), said.text, said.sound).parts
    (other,) = speaker.repeat(voice(speaker), said.text, np.ascontiguousarray(said.sound[::-1])).parts
    assert np.array_equal(one.attention[0], other.attention[0])
    assert not np.array_equal(one.attention[5], other.attention[5])


def test_a_model_without_heads_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="calibrate"):
        WordSpeaker(checkpoint(tmp_path, "heads: ''\n"))

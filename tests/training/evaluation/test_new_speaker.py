"""Similarity, written clips, and the table of the new-speaker evaluation."""

import wave
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from training.data.speakers import SAMPLE_RATE_HZ
from training.evaluation import new_speaker
from training.evaluation.measures import Audio
from training.evaluation.new_speaker import TargetSpeaker, add_ways, recording, table, write_clips


class FakeEncoder:
    """The mean of the samples as the angle of an embedding."""

    def embed(self, clips: Sequence[Audio], rate_hz: int) -> np.ndarray:
        angle = float(np.mean(np.concatenate(clips)))
        return np.array([np.cos(angle), np.sin(angle)])


class FakeRecognizer:
    name = "fake"

    def transcribe(self, audio: Audio, rate_hz: int) -> str:
        return "One too."


def test_similarity_and_words_of_a_voice() -> None:
    at_s = np.arange(SAMPLE_RATE_HZ) / SAMPLE_RATE_HZ
    hum = np.asarray(np.sum([0.05 * np.sin(2 * np.pi * 100 * n * at_s) / n for n in range(1, 20)], axis=0), np.float32)
    target = TargetSpeaker(["One two."], [hum], FakeEncoder(), FakeRecognizer())
    measured = target.measure([hum + np.float32(np.pi / 3)])
    assert measured["similarity"] == pytest.approx(0.5, abs=0.01)
    assert measured["pitch_hz"] == pytest.approx(100, abs=1)
    assert measured["word_error_rate"] == 0.5


def test_way_is_0_at_the_nearest_voice_and_1_at_the_speaker() -> None:
    measured = {name: {"similarity": value} for name, value in {"nearest": 0.5, "himself": 0.9, "clone": 0.8}.items()}
    add_ways(measured)
    assert [each["way"] for each in measured.values()] == pytest.approx([0, 1, 0.75])


def test_recording_has_the_wanted_length(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(new_speaker, "speaker_audio", lambda text: np.full(SAMPLE_RATE_HZ, float(text), np.float32))
    assert recording(["1", "2", "3"], 1.5).tolist() == [1.0] * SAMPLE_RATE_HZ + [2.0] * (SAMPLE_RATE_HZ // 2)
    with pytest.raises(ValueError, match="too short for 4 s"):
        recording(["1", "2", "3"], 4)


def test_clips_are_written_with_transcripts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(new_speaker, "speaker_audio", lambda text: np.full(240, len(text) / 100, np.float32))
    assert write_clips(tmp_path, ["One.", "And two."]) == 2 * 240 / SAMPLE_RATE_HZ / 60
    assert [path.name for path in sorted(tmp_path.iterdir())] == ["000.txt", "000.wav", "001.txt", "001.wav"]
    assert (tmp_path / "001.txt").read_text(encoding="utf-8") == "And two.\n"
    with wave.open(str(tmp_path / "001.wav")) as file:
        assert (file.getframerate(), file.getnframes()) == (SAMPLE_RATE_HZ, 240)
        assert np.frombuffer(file.readframes(1), "<i2")[0] == round(0.08 * 2**15)


def test_table_has_a_row_for_each_method() -> None:
    one = {"similarity": 0.7512, "way": 0.5, "pitch_hz": 88.6, "word_error_rate": 0.25}
    result = {"sentences": 20, "clips": 24, "minutes": 1.25, "steps": 400, **dict.fromkeys(new_speaker.ROWS, one)}
    lines = table(result).splitlines()
    assert lines[2:-2] == [f"| {heading} | 0.75 | 50% | 89 | 25.0% |" for heading in new_speaker.ROWS.values()]
    assert lines[-1] == "20 sentences. Fine-tuning: 24 clips, 1.2 minutes, 400 steps."
    without = table({**{name: each for name, each in result.items() if name != "all"}, "steps": 0}).splitlines()
    assert len(without) == len(lines) - 1
    assert without[-1] == "20 sentences."

"""Timbre similarity, written clips, and the table of the new-speaker evaluation."""

import wave
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("pocketsphinx", reason="the recogniser's wheel is not there (pip install pocketsphinx)")

from training.data.speakers import SAMPLE_RATE_HZ
from training.evaluation import new_speaker
from training.evaluation.measures import Audio
from training.evaluation.new_speaker import TargetSpeaker, table, write_clips


def hum(pitch_hz: float, tilt: float) -> Audio:
    """A second of a voice: harmonics, each `tilt` times as loud as the one before."""
    at_s = np.arange(SAMPLE_RATE_HZ) / SAMPLE_RATE_HZ
    tones = [tilt**n * np.sin(2 * np.pi * pitch_hz * n * at_s) for n in range(1, 20)]
    return np.asarray(0.05 * np.sum(tones, axis=0), np.float32)


def test_timbre_similarity_is_1_at_the_target_and_0_at_the_baseline(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(new_speaker, "transcribe_all", lambda speech, rate_hz: [["one", "two"]] * len(speech))
    target = TargetSpeaker(["One two."], [hum(100, 0.9)])
    own, nearer = [hum(150, 0.6)], [hum(120, 0.8)]
    far = target.timbre_distance(own)
    himself = target.evaluate(target.speech, far)
    assert himself["timbre_way"] == pytest.approx(1)
    assert himself["pitch_hz"] == pytest.approx(100, abs=1)
    assert himself["word_error_rate"] == 0
    assert target.evaluate(own, far)["timbre_way"] == pytest.approx(0)
    assert 0.2 < target.evaluate(nearer, far)["timbre_way"] < 0.9


def test_clips_are_written_with_transcripts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(new_speaker, "teacher_audio", lambda name, text: np.full(240, len(text) / 100, np.float32))
    assert write_clips(tmp_path, ["One.", "And two."]) == 2 * 240 / SAMPLE_RATE_HZ / 60
    assert [path.name for path in sorted(tmp_path.iterdir())] == ["000.txt", "000.wav", "001.txt", "001.wav"]
    assert (tmp_path / "001.txt").read_text(encoding="utf-8") == "And two.\n"
    with wave.open(str(tmp_path / "001.wav")) as file:
        assert (file.getframerate(), file.getnframes()) == (SAMPLE_RATE_HZ, 240)
        assert np.frombuffer(file.readframes(1), "<i2")[0] == round(0.08 * 2**15)


def test_table_has_a_row_for_each_method() -> None:
    one = {"timbre_way": 0.5, "pitch_hz": 88.6, "word_error_rate": 0.25}
    lines = table(
        {"sentences": 20, "clips": 24, "minutes": 1.25, "steps": 400, **dict.fromkeys(new_speaker.ROWS, one)}
    ).splitlines()
    assert lines[2:7] == [f"| {heading} | 50% | 89 | 25.0% |" for heading in new_speaker.ROWS.values()]

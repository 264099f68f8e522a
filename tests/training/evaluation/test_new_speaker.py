"""How near a voice comes to a speaker: sounds of which that is known."""

import wave
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("pocketsphinx", reason="the recogniser's wheel is not there (pip install pocketsphinx)")

from training.data.speakers import SAMPLE_RATE
from training.evaluation import new_speaker
from training.evaluation.measures import Sound
from training.evaluation.new_speaker import Aim, table, write_clips


def hum(pitch_hz: float, tilt: float) -> Sound:
    """A second of a voice: harmonics, each `tilt` times as loud as the one before."""
    at_s = np.arange(SAMPLE_RATE) / SAMPLE_RATE
    tones = [tilt**n * np.sin(2 * np.pi * pitch_hz * n * at_s) for n in range(1, 20)]
    return np.asarray(0.05 * np.sum(tones, axis=0), np.float32)


def test_the_way_to_a_speaker_is_whole_for_himself_and_half_between(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(new_speaker, "hear_all", lambda sounds, rate_hz: [["one", "two"]] * len(sounds))
    aim = Aim(["One two."], [hum(100, 0.9)])
    own, nearer = [hum(150, 0.6)], [hum(120, 0.8)]
    far = aim.apart(own)
    himself = aim.judge(aim.sounds, far)
    assert himself["timbre_way"] == pytest.approx(1)
    assert himself["pitch_hz"] == pytest.approx(100, abs=1)
    assert himself["word_error_rate"] == 0
    assert aim.judge(own, far)["timbre_way"] == pytest.approx(0)
    assert 0.2 < aim.judge(nearer, far)["timbre_way"] < 0.9


def test_clips_lie_beside_what_is_said_in_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(new_speaker, "taught", lambda name, text: np.full(240, len(text) / 100, np.float32))
    assert write_clips(tmp_path, ["One.", "And two."]) == 2 * 240 / SAMPLE_RATE / 60
    assert [path.name for path in sorted(tmp_path.iterdir())] == ["000.txt", "000.wav", "001.txt", "001.wav"]
    assert (tmp_path / "001.txt").read_text(encoding="utf-8") == "And two.\n"
    with wave.open(str(tmp_path / "001.wav")) as file:
        assert (file.getframerate(), file.getnframes()) == (SAMPLE_RATE, 240)
        assert np.frombuffer(file.readframes(1), "<i2")[0] == round(0.08 * 2**15)


def test_each_way_to_a_voice_is_a_row() -> None:
    one = {"timbre_way": 0.5, "pitch_hz": 88.6, "word_error_rate": 0.25}
    lines = table(
        {"sentences": 20, "clips": 24, "minutes": 1.25, "steps": 400, **dict.fromkeys(new_speaker.ROWS, one)}
    ).splitlines()
    assert lines[2:7] == [f"| {heading} | 50% | 89 | 25.0% |" for heading in new_speaker.ROWS.values()]

"""Timestamp errors with known values, the table and the charts."""

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("pocketsphinx", reason="the recogniser's wheel is not there (pip install pocketsphinx)")

from sayline_tts.engine.segment import Segment
from sayline_tts.engine.text.chunk import Word
from training.evaluation.timestamp_accuracy import errors, summary
from training.evaluation.timestamp_accuracy_report import table, write_pictures
from training.evaluation.timestamp_chart import draw_words
from training.evaluation.timestamped_synthesis import SpokenSegment, TimestampedSpeech

FRAME_MS, RATE_HZ = 80.0, 24000


def spoken(*texts: str) -> TimestampedSpeech:
    """Each word is attended to for one frame, and audible."""
    words = tuple(Word(text, 0, 0, text) for text in texts)
    attention = list(np.eye(len(words), dtype=np.float32))
    audio = [np.full(1920, 0.1, np.float32)] * len(words)
    segment = Segment("", tuple(range(len(words))), 9, 1, words, tuple(range(len(words))))
    part = SpokenSegment(segment, 0.0, FRAME_MS, attention, audio)
    return TimestampedSpeech(" ".join(texts), words, (part,), part.times(0.0))


def result() -> dict[str, object]:
    measured = summary([errors([(10, 100), (120, 300)], [(20, 100), (100, 600)])])
    lead = {"now_ms": 0.0, "error_ms": 31.0, "best_ms": -5, "best_error_ms": 30.0}
    reported = dict.fromkeys(("told", "estimated", "teacher_forced", "recogniser"), measured)
    counts = {"sentences": 2, "not_aligned": ["Oh."], "unknown_words": ["oh"], "times_better": 3.0}
    return {**counts, **reported, "lead": lead}


def test_summary_is_over_all_words_and_late_is_positive() -> None:
    one, two = errors([(10, 100), (120, 300)], [(20, 100), (100, 600)]), errors([(0, 50)], [(0, 80)])
    found = summary([one, two])
    assert (found["sentences"], found["words"]) == (2, 3)
    assert found["starts"]["mean_ms"] == pytest.approx(10)
    assert found["starts"]["bias_ms"] == pytest.approx(10 / 3)
    assert found["ends"]["mean_ms"] == pytest.approx(110)
    assert found["ends"]["median_ms"] == pytest.approx(30)
    assert found["ends"]["far"] == pytest.approx(1 / 3)
    assert found["mean_ms"] == pytest.approx(60)


def test_table_has_all_errors_and_unaligned_sentences() -> None:
    text = table(result())
    assert "| 82 | 15 | 150 | 15 / 150 |" in text
    assert "1 of 2 sentences could not be aligned (not in the dictionary: oh)" in text


def test_chart_shows_attention_and_timestamps_of_every_word() -> None:
    speech = spoken("Tom", "&", "Ann,")
    picture = draw_words(speech, [(0, 70), (90, 150), (170, 230)], RATE_HZ)
    assert picture.count('class="attention"') == 3
    assert picture.count('class="reported"') == picture.count('class="reference"') == 3
    assert "&amp;" in picture
    assert "& " not in picture


def test_charts_are_of_the_first_sentence_and_one_with_a_comma(tmp_path: Path) -> None:
    speech = [spoken(*text.split()) for text in ("Yes, one.", "Two.", "No, three.", "Four, then.")]
    write_pictures(tmp_path, [(each, each.reported) for each in speech], RATE_HZ)
    assert "No, three." in (tmp_path / "words-2.svg").read_text(encoding="utf-8")
    assert len(list(tmp_path.iterdir())) == 2

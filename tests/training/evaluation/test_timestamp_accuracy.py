"""training/evaluation/timestamp_accuracy.py and its report: errors that are known."""

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("pocketsphinx", reason="the recogniser's wheel is not there (pip install pocketsphinx)")

from sayline_tts.engine.segment import Segment
from sayline_tts.engine.text.chunk import Word
from training.evaluation.spoken_words import Part, SpokenWords
from training.evaluation.timestamp_accuracy import errors, summary
from training.evaluation.timestamp_accuracy_report import table, write_pictures
from training.evaluation.word_picture import draw_words

FRAME_MS, RATE_HZ = 80.0, 24000


def spoken(*texts: str) -> SpokenWords:
    """Each word is looked at for one frame, and heard."""
    words = tuple(Word(text, 0, 0, text) for text in texts)
    looks = list(np.eye(len(words), dtype=np.float32))
    sound = [np.full(1920, 0.1, np.float32)] * len(words)
    segment = Segment("", tuple(range(len(words))), 9, 1, words, tuple(range(len(words))))
    part = Part(segment, 0.0, FRAME_MS, looks, sound)
    return SpokenWords(" ".join(texts), words, (part,), part.times(0.0))


def result() -> dict[str, object]:
    measured = summary([errors([(10, 100), (120, 300)], [(20, 100), (100, 600)])])
    lead = {"now_ms": 0.0, "error_ms": 31.0, "best_ms": -5, "best_error_ms": 30.0}
    told = dict.fromkeys(("told", "estimated", "teacher_forced", "recogniser"), measured)
    counts = {"sentences": 2, "not_aligned": ["Oh."], "unknown_words": ["oh"], "times_better": 3.0}
    return {**counts, **told, "lead": lead}


def test_errors_are_of_all_words_late_ones_more_than_nothing() -> None:
    one, two = errors([(10, 100), (120, 300)], [(20, 100), (100, 600)]), errors([(0, 50)], [(0, 80)])
    found = summary([one, two])
    assert (found["sentences"], found["words"]) == (2, 3)
    assert found["starts"]["mean_ms"] == pytest.approx(10)
    assert found["starts"]["bias_ms"] == pytest.approx(10 / 3)
    assert found["ends"]["mean_ms"] == pytest.approx(110)
    assert found["ends"]["median_ms"] == pytest.approx(30)
    assert found["ends"]["far"] == pytest.approx(1 / 3)
    assert found["mean_ms"] == pytest.approx(60)


def test_the_table_has_all_errors_and_what_was_left_out() -> None:
    text = table(result())
    assert "| 82 | 15 | 150 | 15 / 150 |" in text
    assert "1 could not be aligned (its dictionary lacks oh)" in text


def test_a_picture_shows_every_word_looked_at_told_and_true() -> None:
    said = spoken("Tom", "&", "Ann,")
    picture = draw_words(said, [(0, 70), (90, 150), (170, 230)], RATE_HZ)
    assert picture.count('class="look"') == 3
    assert picture.count('class="told"') == picture.count('class="true"') == 3
    assert "&amp;" in picture
    assert "& " not in picture


def test_pictures_are_of_the_first_sentence_and_of_one_with_a_pause(tmp_path: Path) -> None:
    said = [spoken(*text.split()) for text in ("Yes, one.", "Two.", "No, three.", "Four, then.")]
    write_pictures(tmp_path, [(each, each.told) for each in said], RATE_HZ)
    assert "No, three." in (tmp_path / "words-2.svg").read_text(encoding="utf-8")
    assert len(list(tmp_path.iterdir())) == 2

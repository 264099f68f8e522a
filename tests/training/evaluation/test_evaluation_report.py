"""The table and the spectrograms of an evaluation."""

import struct
import zlib

import numpy as np

from training.evaluation.evaluation_report import png, table

RESULT = {
    "sentences": 2,
    "recognizer": "Whisper tiny.en",
    "rows": {
        "teachers (flite)": {"word_error_rate": 0.2, "p808": 3.5, "length_right": 1.0, "without_end": 0},
        "usual": {"word_error_rate": 0.25, "length_right": 1.0},
    },
    "short": {"usual": {"without_errors": 41, "sentences": 50}},
    "long": {"usual": {"word_error_rate": 0.0312, "skipped_clauses": 4, "sentences": 50}},
    "speed": {"times_real_time": 11.7, "first_sound_ms": 20.0},
    "megabytes": 13.96,
}


def test_each_mode_is_a_row_with_blanks_for_missing_measures() -> None:
    lines = table(RESULT).splitlines()
    assert lines[2] == "| teachers (flite) | 20.0% | 3.50 |  | 100.0% | 0 |  |  |"
    assert lines[3] == "| usual | 25.0% |  |  | 100.0% |  |  |  |"
    assert lines[7] == "| usual | 41 of 50 | 3.1% | 4 of 50 |"
    assert lines[-1] == (
        "2 sentences, word errors by Whisper tiny.en. The word error rate is 1.25 times the teachers'. Speed for one "
        "listener on two cores: 11.7 times real time, first audio after 20 ms. Size: 14.0 MB."
    )


def test_quick_evaluation_has_only_the_sentences() -> None:
    quick = {"sentences": 2, "recognizer": "pocketsphinx", "rows": {"teachers (flite)": {"word_error_rate": 0.0}}}
    assert table(quick).splitlines()[-1] == "2 sentences, word errors by pocketsphinx."


def test_png_contains_the_pixels() -> None:
    picture = np.arange(6, dtype=np.uint8).reshape(2, 3)
    file = png(picture)
    assert struct.unpack(">II", file[16:24]) == (3, 2)
    at = file.index(b"IDAT")
    length = struct.unpack(">I", file[at - 4 : at])[0]
    assert zlib.decompress(file[at + 4 : at + 4 + length]) == b"\0\0\1\2\0\3\4\5"

"""The table and the spectrograms of an evaluation."""

import struct
import zlib

import numpy as np

from training.evaluation.evaluation_report import png, table

RESULT = {
    "sentences": 2,
    "teacher": {"word_error_rate": 0.2, "word_error_rate_by_sound": 0.1, "length_right": 1.0, "without_end": 0},
    "usual": {"word_error_rate": 0.25, "word_error_rate_by_sound": 0.1, "length_right": 1.0, "cepstral_db": 3.14159},
    "speed": {"times_real_time": 11.7, "first_sound_ms": 20.0},
}


def test_each_mode_is_a_row_with_blanks_for_missing_measures() -> None:
    lines = table(RESULT).splitlines()
    assert lines[2].startswith("| teacher | 20.0% | 10.0% | 100.0% | 0 |  |")
    assert "3.14" in lines[3]
    assert (
        "1.25 times the teachers', on 2 sentences. Speed for one listener on two cores: 11.7 times real time"
        in lines[5]
    )


def test_png_contains_the_pixels() -> None:
    picture = np.arange(6, dtype=np.uint8).reshape(2, 3)
    file = png(picture)
    assert struct.unpack(">II", file[16:24]) == (3, 2)
    at = file.index(b"IDAT")
    length = struct.unpack(">I", file[at - 4 : at])[0]
    assert zlib.decompress(file[at + 4 : at + 4 + length]) == b"\0\0\1\2\0\3\4\5"

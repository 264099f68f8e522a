"""Conversion of numbers to words, with bounded work."""

import pytest

from sayline_tts.engine.text.normalization.number_words import NumberWords, supports_numbers

ENGLISH = NumberWords("en", "point")


@pytest.mark.parametrize(
    ("digits", "expected"),
    [("0", "zero"), ("21", "twenty-one"), ("1101", "one thousand one hundred one"), ("007", "zero zero seven")],
)
def test_cardinal_is_a_quantity(digits: str, expected: str) -> None:
    assert ENGLISH.cardinal(digits) == expected


def test_long_number_is_spoken_digit_by_digit() -> None:
    assert ENGLISH.cardinal("1" * 16) == " ".join(["one"] * 16)
    assert ENGLISH.ordinal("1" * 16) == " ".join(["one"] * 16)


def test_years_and_decimals() -> None:
    assert ENGLISH.year("1905") == "nineteen oh five"
    assert ENGLISH.decimal("", "05") == "zero point zero five"
    assert NumberWords("it", "virgola").decimal("3", "05") == "tre virgola zero cinque"


def test_supports_numbers_of_known_languages_only() -> None:
    assert supports_numbers("de")
    assert not supports_numbers("xx")

"""engine/text/normalization/number_words.py: numbers as words, and never much work."""

import pytest

from sayline_tts.engine.text.normalization.number_words import Numerals, knows

ENGLISH = Numerals("en", "point")


@pytest.mark.parametrize(
    ("digits", "said"),
    [("0", "zero"), ("21", "twenty-one"), ("1101", "one thousand one hundred one"), ("007", "zero zero seven")],
)
def test_a_number_is_said_as_a_quantity(digits: str, said: str) -> None:
    assert ENGLISH.cardinal(digits) == said


def test_a_number_that_is_too_long_to_be_a_quantity_is_said_digit_by_digit() -> None:
    assert ENGLISH.cardinal("1" * 16) == " ".join(["one"] * 16)
    assert ENGLISH.ordinal("1" * 16) == " ".join(["one"] * 16)


def test_years_and_decimals_are_said_in_their_own_way() -> None:
    assert ENGLISH.year("1905") == "nineteen oh five"
    assert ENGLISH.decimal("", "05") == "zero point zero five"
    assert Numerals("it", "virgola").decimal("3", "05") == "tre virgola zero cinque"


def test_which_languages_are_known() -> None:
    assert knows("de")
    assert not knows("xx")

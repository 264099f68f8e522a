"""Parsing of written numbers with the separators of a language."""

import re

import pytest

from sayline_tts.engine.text.normalization.language_data import load_language
from sayline_tts.engine.text.normalization.number_parser import Number, NumberParser
from sayline_tts.engine.text.normalization.token_context import Token, TokenContext


@pytest.mark.parametrize(
    ("language", "written", "number"),
    [
        ("en", "5", Number("5", "", False)),
        ("en", "1,234.50", Number("1234", "50", True)),
        ("en", ".5", Number("0", "5", False)),
        ("de", "1.234,5", Number("1234", "5", True)),
        ("en", "1.299,00", Number("1299", "00", True)),
    ],
)
def test_separators_are_those_of_the_language_or_swapped(language: str, written: str, number: Number) -> None:
    parser = NumberParser(load_language(language))
    assert re.fullmatch(parser.pattern, written)
    assert parser.parse(written) == number


@pytest.mark.parametrize(
    ("text", "joined"),
    [
        ("1 000 000 amis", ["1000000", None, None, "amis"]),
        ("12 34", ["12", "34"]),
        ("0 000", ["0", "000"]),
        ("1 (000)", ["1", "000"]),
        ("1 000 000 000 000 000", ["1", "000", "000", "000", "000", "000"]),
    ],
)
def test_groups_that_are_separated_by_spaces_are_joined(text: str, joined: list[str | None]) -> None:
    parser = NumberParser(load_language("fr"))
    tokens = [Token.parse(word) for word in text.split()]
    contexts = [TokenContext(tokens, i) for i in range(len(tokens))]
    assert [None if parser.is_later_group(each) else parser.join_groups(each) for each in contexts] == joined

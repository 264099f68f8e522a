"""Separation of text from markup, and the bound of the buffered characters."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sayline_tts.engine.text.scanner import Scanner, TokenKind
from tests.engine.text.texts import ANY_TEXT


@settings(deadline=None)
@given(ANY_TEXT, st.booleans())
def test_tokens_cover_the_text_in_order(text: str, markdown: bool) -> None:
    scanner = Scanner(markdown)
    tokens = [token for char in text for token in scanner.push(char)] + list(scanner.flush())
    assert "".join(token.text for token in tokens) == text
    assert all(text[token.start : token.start + len(token.text)] == token.text for token in tokens)


@pytest.mark.parametrize(
    "opening",
    [
        "<b ",
        "<!-- ",
        "[pause:",
        "[^",
        "[x](",
        "[x](((",
        "```",
        "~~~ py",
        "> ",
        "<" * 9,
        "[" * 9,
        "[x](a ",
        "&#",
        "&amp;" * 9,
    ],
)
def test_buffered_markup_is_bounded(opening: str) -> None:
    scanner = Scanner(markdown=True)
    for char in opening + "1" * 5000:
        for _ in scanner.push(char):
            pass
        assert len(scanner.buffered) <= 1001


def test_code_is_not_buffered() -> None:
    scanner = Scanner(markdown=True)
    assert all(token.kind is not TokenKind.TEXT for token in scanner.push("```py\nx = 1\n" + "y" * 5000))
    assert scanner.buffered == ""

"""engine/text/scanner.py: what is to be read, what only marks it up, and how much is held back."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sayline_tts.engine.text.scanner import Kind, Scanner
from tests.engine.text.texts import ANYTHING


@settings(deadline=None)
@given(ANYTHING, st.booleans())
def test_every_character_comes_out_once_and_in_its_place(text: str, markdown: bool) -> None:
    scanner = Scanner(markdown)
    bits = [bit for char in text for bit in scanner.push(char)] + list(scanner.flush())
    assert "".join(bit.text for bit in bits) == text
    assert all(text[bit.start : bit.start + len(bit.text)] == bit.text for bit in bits)


@pytest.mark.parametrize(
    "opening", ["<b ", "<!-- ", "[pause:", "[^", "[x](", "[x](((", "```", "~~~ py", "> ", "<" * 9, "[" * 9, "[x](a "]
)
def test_what_is_held_back_has_a_bound(opening: str) -> None:
    scanner = Scanner(markdown=True)
    for char in opening + "1" * 5000:
        for _ in scanner.push(char):
            pass
        assert len(scanner.held) <= 1001


def test_a_code_block_is_markup_as_it_comes() -> None:
    scanner = Scanner(markdown=True)
    assert all(bit.kind is not Kind.TEXT for bit in scanner.push("```py\nx = 1\n" + "y" * 5000))
    assert scanner.held == ""

"""Classification of sentence boundaries before the next word is known."""

import subprocess
import sys

import pytest

from sayline_tts.engine.text.sentence_boundary import Boundary, classify, is_boundary


@pytest.mark.parametrize(
    "text", ["Hello there.", "What?", "Go!", "wow!!", "what?!", "said Bob.", "mail a@b.com.", "see www.x.org/a?b=c."]
)
def test_ordinary_sentence_ends(text: str) -> None:
    assert classify(text) is Boundary.ENDS


@pytest.mark.parametrize(
    "text",
    ["I met Dr.", "Mr.", "J. R.", "It was e.g.", "(i.e.", "Rome vs.", "E.g.", "see Fig.", "Lt.", "to St.", "St."],
)
def test_titles_initials_and_abbreviations_continue(text: str) -> None:
    assert classify(text) is Boundary.CONTINUES


@pytest.mark.parametrize(
    "text",
    ["the U.S.", "No.", "on Main St.", "on 5th St.", "at 5 p.m.", "in 2020.", "and so on, etc.", "Wow...", '"Go!"'],
)
def test_some_abbreviations_are_ambiguous(text: str) -> None:
    assert classify(text) is Boundary.AMBIGUOUS


@pytest.mark.parametrize("text", ["", "Hello", "Hello,", "3.14", "a.b", ")"])
def test_text_without_terminal_punctuation_is_unmarked(text: str) -> None:
    assert classify(text) is Boundary.UNMARKED


@pytest.mark.parametrize(
    ("text", "next_word", "expected"),
    [
        ("the U.S.", "The", True),
        ("the U.S.", "and", False),
        ("See No.", "5", False),
        ("No.", "I", True),
        ('"Go!"', "she", False),
        ('"Go!"', "Then", True),
        ("5.", "The", True),
        ("Look.", "a.b?c!d", True),
    ],
)
def test_next_word_resolves_the_ambiguity(text: str, next_word: str, expected: bool) -> None:
    assert is_boundary(text, next_word) is expected


def test_nupunkt_is_imported_only_at_terminal_punctuation() -> None:
    program = (
        "import sys; from sayline_tts.engine.text.reader import Reader; s = Reader(len); s.push('Hello there');"
        "assert 'nupunkt' not in sys.modules; s.push('. '); assert 'nupunkt' in sys.modules"
    )
    subprocess.run([sys.executable, "-c", program], check=True)

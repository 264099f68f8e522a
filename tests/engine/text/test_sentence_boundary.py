"""engine/text/sentence_boundary.py: what can be said about a full stop before the next word is known."""

import subprocess
import sys

import pytest

from sayline_tts.engine.text.sentence_boundary import Verdict, ends_before, verdict


@pytest.mark.parametrize(
    "text", ["Hello there.", "What?", "Go!", "wow!!", "what?!", "said Bob.", "mail a@b.com.", "see www.x.org/a?b=c."]
)
def test_an_ordinary_sentence_ends_whatever_follows(text: str) -> None:
    assert verdict(text) is Verdict.ENDS


@pytest.mark.parametrize(
    "text",
    ["I met Dr.", "Mr.", "J. R.", "It was e.g.", "(i.e.", "Rome vs.", "E.g.", "see Fig.", "Lt.", "to St.", "St."],
)
def test_a_title_an_initial_and_an_abbreviation_go_on_whatever_follows(text: str) -> None:
    assert verdict(text) is Verdict.GOES_ON


@pytest.mark.parametrize(
    "text",
    ["the U.S.", "No.", "on Main St.", "on 5th St.", "at 5 p.m.", "in 2020.", "and so on, etc.", "Wow...", '"Go!"'],
)
def test_what_may_or_may_not_end_depends_on_the_next_word(text: str) -> None:
    assert verdict(text) is Verdict.DEPENDS


@pytest.mark.parametrize("text", ["", "Hello", "Hello,", "3.14", "a.b", ")"])
def test_without_a_mark_at_the_end_there_is_nothing_to_judge(text: str) -> None:
    assert verdict(text) is Verdict.NO_MARK


@pytest.mark.parametrize(
    ("text", "word", "ends"),
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
def test_the_next_word_settles_it(text: str, word: str, ends: bool) -> None:
    assert ends_before(text, word) is ends


def test_nupunkt_is_loaded_only_when_there_is_something_to_judge() -> None:
    program = (
        "import sys; from sayline_tts.engine.text.reader import Reader; s = Reader(len); s.push('Hello there');"
        "assert 'nupunkt' not in sys.modules; s.push('. '); assert 'nupunkt' in sys.modules"
    )
    subprocess.run([sys.executable, "-c", program], check=True)

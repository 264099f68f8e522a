"""engine/text/markdown_marks.py: which characters of a word are to be read."""

import pytest

from sayline_tts.engine.text.markdown_marks import kept


@pytest.mark.parametrize(
    ("word", "read"),
    [
        ("plain,", "plain,"),
        ("**bold**", "bold"),
        ("(_it_)", "(it)"),
        ("**bold**ly", "boldly"),
        ("snake_case", "snake_case"),
        ("2*3", "2*3"),
        ("2**3", "2**3"),
        ("a*b", "a*b"),
        ("un*ab*le", "unable"),
        ("~5", "~5"),
        ("~~5~~", "5"),
        ("`x`,", "x,"),
        ("![alt]", "alt"),
        ("a[1]", "a"),
        ("[x]", ""),
        ("*", "*"),
        ("\\#1", "#1"),
        ("so【4:0†source】.", "so."),
    ],
)
def test_what_is_read_of_a_word(word: str, read: str) -> None:
    assert "".join(word[at] for at in kept(word)) == read

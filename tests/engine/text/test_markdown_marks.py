"""Removal of inline Markdown from a word."""

import pytest

from sayline_tts.engine.text.markdown_marks import readable_indices


@pytest.mark.parametrize(
    ("word", "readable"),
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
def test_inline_markdown_is_removed(word: str, readable: str) -> None:
    assert "".join(word[i] for i in readable_indices(word)) == readable

"""Pauses and layout of tags."""

import pytest

from sayline_tts.engine.text.speech_tags import Layout, is_bracket_prefix, is_tag_prefix, parse_layout, parse_pause


@pytest.mark.parametrize(
    ("tag", "ms"),
    [
        ('<break time="1.5s"/>', 1500),
        ("<break time=.5s>", 500),
        ("<break strength='none'/>", 0),
        ("<break strength='unheard-of'/>", 400),
        ("[PAUSE:.5]", 500),
        ("<breaks/>", None),
        ("<b>", None),
        ("[pause:1x]", None),
    ],
)
def test_pause_duration(tag: str, ms: float | None) -> None:
    assert parse_pause(tag) == ms


def test_tag_layout() -> None:
    assert parse_layout("<br/>") is Layout.LINE_BREAK
    assert parse_layout('<p class="x">') is Layout.BLOCK
    assert parse_layout("</em>") is Layout.INLINE
    assert parse_layout("</break>") is Layout.INLINE
    assert parse_layout("<!-- a > b -->") is Layout.INLINE
    assert parse_layout("<T>") is None
    assert parse_layout("<<b>") is None


def test_prefixes_of_tags_and_brackets() -> None:
    assert is_tag_prefix("<break", markdown=False)
    assert is_tag_prefix("<!--", markdown=True)
    assert is_tag_prefix("</", markdown=True)
    assert not is_tag_prefix("<b", markdown=False)
    assert not is_tag_prefix("<x", markdown=True)
    assert not is_tag_prefix("<!x", markdown=True)
    assert is_bracket_prefix("[pau", markdown=False)
    assert is_bracket_prefix("[^not", markdown=True)
    assert not is_bracket_prefix("[^not", markdown=False)
    assert not is_bracket_prefix("[x", markdown=True)

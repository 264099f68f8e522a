"""engine/text/speech_tags.py: pauses and layout in tags."""

import pytest

from sayline_tts.engine.text.speech_tags import Layout, half_bracket, layout_of, may_be_tag, pause_of


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
def test_how_long_a_pause_is(tag: str, ms: float | None) -> None:
    assert pause_of(tag) == ms


def test_a_tag_lays_text_out_or_is_none() -> None:
    assert layout_of("<br/>") is Layout.LINE
    assert layout_of('<p class="x">') is Layout.BLOCK
    assert layout_of("</em>") is Layout.NONE
    assert layout_of("</break>") is Layout.NONE
    assert layout_of("<!-- a > b -->") is Layout.NONE
    assert layout_of("<T>") is None
    assert layout_of("<<b>") is None


def test_only_what_may_become_a_tag_is_waited_for() -> None:
    assert may_be_tag("<break", markdown=False)
    assert may_be_tag("<!--", markdown=True)
    assert may_be_tag("</", markdown=True)
    assert not may_be_tag("<b", markdown=False)
    assert not may_be_tag("<x", markdown=True)
    assert not may_be_tag("<!x", markdown=True)
    assert half_bracket("[pau", markdown=False)
    assert half_bracket("[^not", markdown=True)
    assert not half_bracket("[^not", markdown=False)
    assert not half_bracket("[x", markdown=True)

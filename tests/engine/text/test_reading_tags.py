"""SSML tags that tell how the text in them is read."""

import pytest

from sayline_tts.engine.text.chunk import TextChunk
from sayline_tts.engine.text.reader import Reader
from tests.engine.text.texts import check_offsets, count_words


def read(*messages: str, language: str = "en") -> list[TextChunk]:
    reader = Reader(count_words, language)
    items = [item for message in messages for item in reader.push(message)] + reader.flush()
    check_offsets("".join(messages), items)
    return [item for item in items if isinstance(item, TextChunk)]


def said(*messages: str, language: str = "en") -> str:
    return " | ".join(chunk.spoken for chunk in read(*messages, language=language))


def as_kind(kind: str, text: str, more: str = "") -> str:
    return f'<say-as interpret-as="{kind}"{more}>{text}</say-as>'


ALIASES = (
    ('<sub alias="World Wide Web Consortium">W3C</sub>.', "World Wide Web Consortium."),
    ("The <sub alias='noo york'>New York</sub>'s pride", "The noo york's pride"),
    ('<sub alias="the big apple">New\nYork City </sub>is', "the big apple is"),
    ('"<sub alias="A &amp; B 2">x</sub>"', '"A and B two"'),
    ('pre<sub alias="mid">x</sub>post', "premidpost"),
    ('<sub alias="one">a</sub><sub alias="two">b</sub> c', "onetwo c"),
    ('<sub alias="one">a</sub> <sub alias="two">b</sub>', "one two"),
    ('Al<sub alias="one">a b</sub>', "Alone"),
    ("H<sub>2</sub>O", "H two O"),
    ('<sub alias="">five</sub> 5', "five five"),
    ('<sub alias="x"/>5 <sub alias="y"></sub>6', "five six"),
    ('<sub alias="x">never closed. 5', "never closed. | five"),
    ('<sub alias="x">' + "5 " * 45 + "</sub>", " ".join(["five"] * 45)),
    ('<sub alias="x">red\n\nblue</sub>', "red | blue"),
)
KINDS = (
    ("en", as_kind("characters", "NASA1-b"), "N A S A one dash B"),
    ("en", as_kind("spell-out", "cat") + ",", "C A T,"),
    ("en", as_kind("digits", "1234") + " " + as_kind("digits", "12-34a"), "one two three four one two, three four, a"),
    ("en", as_kind("telephone", "5551234567"), "five five five, one two three, four five six seven"),
    ("en", as_kind("telephone", "+44 20"), "plus four four two zero"),
    ("en", as_kind("telephone", "none"), "none"),
    ("en", as_kind("ordinal", "5") + ", " + as_kind("ordinal", "VIII"), "fifth, eighth"),
    ("en", as_kind("ordinal", "22nd") + as_kind("ordinal", " x"), "twenty-second x"),
    ("en", as_kind("cardinal", "1,200") + " " + as_kind("cardinal", "XIV"), "one thousand two hundred fourteen"),
    ("en", as_kind("cardinal", "-2.5") + " " + as_kind("number", "x"), "minus two point five x"),
    ("en", as_kind("cardinal", "1984"), "one thousand nine hundred eighty-four"),
    ("en", as_kind("date", "3/4/2024", ' format="dmy"'), "April third, twenty twenty-four"),
    ("en", as_kind("date", "3/4/2024"), "March fourth, twenty twenty-four"),
    ("en", as_kind("date", "3/4"), "March fourth"),
    ("en", as_kind("date", "12/24", ' format="my"'), "December twenty twenty-four"),
    ("en", as_kind("date", "1/2/2024", ' format="ddm"') + as_kind("date", "x"), "January second, twenty twenty-fourx"),
    ("en", as_kind("date", "5/6/24", ' format="dmm"'), "May sixth, twenty twenty-four"),
    ("en", as_kind("date", "13/40", ' format="md"'), "thirteen over forty"),
    ("en", as_kind("date", "24/5", ' format="yd"'), "twenty-four over five"),
    ("en", as_kind("unknown", "5"), "five"),
    ("de", as_kind("date", "3.4."), "dritten April"),
    ("de", as_kind("cardinal", "1.234,5"), "eintausendzweihundertvierunddreißig Komma fünf"),
    ("de", as_kind("ordinal", "3."), "dritte"),
    ("fr", as_kind("digits", "42"), "quatre deux"),
    ("es", as_kind("characters", "sí"), "S Í"),
    ("it", as_kind("ordinal", "3º"), "terzo"),
    ("pt", as_kind("cardinal", "1.000"), "mil"),
    ("nl", as_kind("telephone", "112"), "één één twee"),
    ("xx", as_kind("cardinal", "5"), "5"),
)  # fmt: skip


@pytest.mark.parametrize(("written", "spoken"), ALIASES)
def test_alias_is_said_for_the_text_in_the_tag(written: str, spoken: str) -> None:
    assert said(written) == spoken
    assert said(*written) == spoken


@pytest.mark.parametrize(("language", "written", "spoken"), KINDS)
def test_text_is_read_as_the_stated_kind(language: str, written: str, spoken: str) -> None:
    assert said(written, language=language) == spoken
    assert said(*written, language=language) == spoken


def test_text_in_an_alias_is_one_word() -> None:
    (chunk,) = read('At <sub alias="W three C">World Wide</sub>, ok')
    assert [(word.text, word.spoken) for word in chunk.words] == [
        ("At", "At"),
        ("World Wide", "W three C,"),
        ("ok", "ok"),
    ]


def test_without_clean_up_stated_kinds_are_plain_text() -> None:
    reader = Reader(count_words, clean_up=False)
    items = reader.push(as_kind("digits", "12")) + reader.flush()
    assert isinstance(items[0], TextChunk)
    assert items[0].spoken == as_kind("digits", "12")

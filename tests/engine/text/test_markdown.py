"""Reading of Markdown and HTML as language models write them."""

import pytest

from sayline_tts.engine.text.chunk import TextChunk
from sayline_tts.engine.text.reader import Reader
from tests.engine.text.texts import read, split_at, spoken

MARKUP = [
    ("**bold** text", ["bold text"]),
    ("*it*, __b__ and ***both***.", ["it, b and both."]),
    ("(**bold**)", ["(bold)"]),
    ("un*frigging*believable", ["unfriggingbelievable"]),
    ("**Note:** this", ["Note: this"]),
    ("~~gone~~ `code` ``more``", ["gone code more"]),
    ("# Title\nText", ["Title", "Text"]),
    ("### Title ###\nText", ["Title", "Text"]),
    ("Title\n=====\nText", ["Title", "Text"]),
    ("One\n\n---\n\nTwo", ["One", "Two"]),
    ("- one\n- two", ["one", "two"]),
    ("* one\n  * two\n+ three", ["one", "two", "three"]),
    ("1. one\n2) two", ["one, one", "two, two"]),
    ("a) one\nb) two", ["A, one", "B, two"]),
    ("- [ ] open\n- [x] done", ["open", "done"]),
    ("> quoted\n> text\n\nown", ["quoted text", "own"]),
    (">> twice", ["twice"]),
    ("[a link](https://x.org/a_(b)?q=1)", ["a link"]),
    ('[a link](https://x.org "Its title").', ["a link."]),
    ("**[bold link](x.html)**!", ["bold link!"]),
    ("![a picture](cat.png)", ["a picture"]),
    ("[![inner](a.png)](b.html)", ["inner"]),
    ("<https://example.com>", ["example dot com"]),
    ("so it is[^1].", ["so it is."]),
    ("so it is[1][2].", ["so it is."]),
    ("so it is【4:0†source】.", ["so it is."]),
    ("| Name | Age |\n|------|----:|\n| Bob | 5 |", ["Name, Age", "Bob, five"]),
    ("Look:\n```python\nx = 1\n```\nDone", ["Look:", "Done"]),
    ("~~~\ncode\n~~~\nDone", ["Done"]),
    ("````\n```\n````\nDone", ["Done"]),
    ("1. Run\n   ```sh\n   ls\n   ```\n2. Go", ["one, Run", "two, Go"]),
    ("```markdown\n# Hi\n```\n```js\nx\n```\nDone", ["Hi", "Done"]),
    ("```inline``` code", ["inline code"]),
    ("a \\* b \\_c\\_", ["a b c"]),
    ("<b>bold</b>, <i>it</i>", ["bold, it"]),
    ("<p>One</p><p>Two</p>", ["One", "Two"]),
    ("One<br>two", ["One two"]),
    ("One <!-- not this --> two", ["One two"]),
    ("a List<String> here", ["a List String here"]),
    ("Tom &amp; Jerry", ["Tom and Jerry"]),
    ("2 ** 3 and 2**3", ["two three and two cubed"]),
    ("__init__", ["init"]),
]


@pytest.mark.parametrize(("written", "chunks"), MARKUP)
def test_markup_is_not_spoken(written: str, chunks: list[str]) -> None:
    assert spoken(written) == chunks


@pytest.mark.parametrize("written", [written for written, _ in MARKUP])
def test_markup_can_be_split_between_messages(written: str) -> None:
    whole = read(written)
    assert all(read(*split_at(written, [i])) == whole for i in range(len(written)))


def test_word_offsets_exclude_markup() -> None:
    text = "See **bold**, [a link](http://x.org) and `x`."
    words = [word for item in read(text) if isinstance(item, TextChunk) for word in item.words]
    assert [word.text for word in words] == ["See", "bold", "a", "link", "and", "x"]
    assert [word.spoken for word in words] == ["See", "bold,", "a", "link", "and", "x."]


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("[not a](link here) so", "not a(link here) so"),
        ("[open](http://x", "open http slash slash x"),
        ("if a <b and c", "if a b and c"),
        ("<unknown> tag", "unknown tag"),
        (">5 of them", "more than five of them"),
    ],
)
def test_text_that_resembles_markup_is_spoken(written: str, expected: str) -> None:
    assert spoken(written) == [expected]


def test_flush_ends_an_unclosed_code_block() -> None:
    reader = Reader(len)
    reader.push("```py\nx = 1\ny")
    assert reader.flush() == []
    assert [each.spoken for each in reader.push("Hello there. ") if isinstance(each, TextChunk)] == ["Hello there."]

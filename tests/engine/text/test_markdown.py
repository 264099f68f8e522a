"""Markdown and HTML as a language model writes them: what of them is read."""

import pytest

from sayline_tts.engine.text.chunk import Passage
from sayline_tts.engine.text.reader import Reader
from tests.engine.text.texts import cut_up, read, spoken

MARKED = [
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


@pytest.mark.parametrize(("written", "passages"), MARKED)
def test_marks_are_not_read(written: str, passages: list[str]) -> None:
    assert spoken(written) == passages


@pytest.mark.parametrize("written", [written for written, _ in MARKED])
def test_a_mark_may_be_cut_anywhere(written: str) -> None:
    whole = read(written)
    assert all(read(*cut_up(written, [at])) == whole for at in range(len(written)))


def test_a_words_place_is_inside_its_marks() -> None:
    text = "See **bold**, [a link](http://x.org) and `x`."
    words = [word for item in read(text) if isinstance(item, Passage) for word in item.words]
    assert [word.text for word in words] == ["See", "bold", "a", "link", "and", "x"]
    assert [word.spoken for word in words] == ["See", "bold,", "a", "link", "and", "x."]


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("[not a](link here) so", "not a(link here) so"),
        ("[open](http://x", "open http slash slash x"),
        ("if a <b and c", "if a b and c"),
        ("<unknown> tag", "unknown tag"),
        (">5 of them", "more than five of them"),
    ],
)
def test_what_only_looks_like_a_mark_is_read(written: str, said: str) -> None:
    assert spoken(written) == [said]


def test_a_code_block_that_nobody_closes_ends_at_a_flush() -> None:
    reader = Reader(len)
    reader.push("```py\nx = 1\ny")
    assert reader.flush() == []
    assert [each.spoken for each in reader.push("Hello there. ") if isinstance(each, Passage)] == ["Hello there."]

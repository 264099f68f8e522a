"""Lexicons as CSV and PLS files."""

import pytest

from sayline_tts.engine.text.lexicon import Entry, LexiconError
from sayline_tts.engine.text.lexicon_files import MAX_BYTES, parse_csv, parse_pls, to_csv

ENTRIES = [Entry("Nguyen", "win"), Entry('a "b", c', "x;y", True, "de", "clara")]
PLS = """<?xml version="1.0" encoding="UTF-8"?>
<lexicon version="1.0" xmlns="http://www.w3.org/2005/01/pronunciation-lexicon" alphabet="ipa" xml:lang="en-US">
  <meta name="x" content="y"/>
  <lexeme><grapheme>W3C</grapheme> <alias>World Wide
    Web Consortium</alias></lexeme>
  <lexeme><grapheme>Nguyen</grapheme><grapheme>Nguy&#7877;n</grapheme><alias>win</alias><alias>wen</alias></lexeme>
  <lexeme><grapheme>hello</grapheme><phoneme>x</phoneme></lexeme>
</lexicon>"""


def test_csv_is_read_as_it_was_written() -> None:
    assert parse_csv(to_csv(ENTRIES).encode()) == ENTRIES


@pytest.mark.parametrize(
    ("text", "entries"),
    [
        ("Nguyen,win\n\n Byrne , burn \r\n", [Entry("Nguyen", "win"), Entry("Byrne", "burn")]),
        ("\ufeffNguyen;win", [Entry("Nguyen", "win")]),
        ("Nguyen\twin, or ngwin", [Entry("Nguyen", "win, or ngwin")]),
        ("written,said,language\nNguyen,win,en-US\nByrne,burn", [Entry("Nguyen", "win", language="en"),
                                                                Entry("Byrne", "burn")]),
        ("", []),
    ],
)  # fmt: skip
def test_csv_with_other_separators_and_columns(text: str, entries: list[Entry]) -> None:
    assert parse_csv(text.encode()) == entries


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"Nguyen", "line 1 has 1 columns; it has to be: written,said"),
        (b"a,b\nc,d,e", "line 2 has 3 columns"),
        (b"a,b\nc,!", "line 2: entry 'c' has to be said"),
        (b"written,spoken\na,b", "'spoken' as a column"),
        (b"written,written\na,b", "at most once"),
        (b"a\xff,b", "not UTF-8"),
        (b'a,"b' + b"x" * 200_000, "line 1 is no valid CSV"),
        (b"x" * (MAX_BYTES + 1), "larger than 4 MB"),
    ],
)
def test_damaged_csv_is_refused(data: bytes, reason: str) -> None:
    with pytest.raises(LexiconError, match=reason):
        parse_csv(data)


def test_aliases_of_pls_are_read_and_phonemes_counted() -> None:
    said = "World Wide Web Consortium"
    entries = [Entry("W3C", said, True, "en"), Entry("Nguyen", "win", True, "en"), Entry("Nguyễn", "win", True, "en")]
    assert parse_pls(PLS.encode()) == (entries, 1)
    assert parse_pls(PLS.replace("UTF-8", "UTF-16").encode("utf-16")) == (entries, 1)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ('<!DOCTYPE lexicon [<!ENTITY a "aaaa">]><lexicon><lexeme>&a;</lexeme></lexicon>', "document type declaration"),
        ('<!DOCTYPE lexicon SYSTEM "file:///etc/passwd"><lexicon/>', "document type declaration"),
        ("<lexicon>&unknown;</lexicon>", "no valid XML"),
        ("<lexicon>", "no valid XML"),
        ("<html/>", "<html> is no PLS document"),
        ("<lexicon/>" + " " * MAX_BYTES, "larger than 4 MB"),
    ],
)
def test_unsafe_or_damaged_pls_is_refused(text: str, reason: str) -> None:
    with pytest.raises(LexiconError, match=reason):
        parse_pls(text.encode())

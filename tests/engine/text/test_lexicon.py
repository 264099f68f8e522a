"""Lexicons: which words are respelled and which are not, wherever the stream is cut, with exact places in the text."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sayline_tts.engine.text.chunk import TextChunk
from sayline_tts.engine.text.lexicon import (
    MAX_ENTRIES,
    MAX_SAID_CHARS,
    MAX_WRITTEN_CHARS,
    Entry,
    Lexicon,
    LexiconError,
    merged,
)
from sayline_tts.engine.text.lexicon_matcher import LexiconMatcher
from sayline_tts.engine.text.reader import Reader
from tests.engine.text.texts import ANY_TEXT, check_offsets, count_words, split_at

LEXICON = Lexicon(
    (
        Entry("Sayline", "SAY-line"),
        Entry("New York", "noo YORK"),
        Entry("New York City", "the big apple"),
        Entry("York Minster", "the minster"),
        Entry("AT&T", "ay tee"),
        Entry("Node.js", "node jay ess"),
        Entry("C++", "see plus plus"),
        Entry(".NET", "dott nett"),
        Entry("US", "you ess", match_case=True),
        Entry("as soon as possible", "A SAP"),
        Entry("as soon as", "when"),
        Entry("Łódź", "woodge"),
        Entry("O'Neill", "oh NEEL"),
        Entry("m", "em"),
        Entry("iPhone 15", "eye phone 15"),
        Entry("Gmail", "gee mail", language="en"),
        Entry("Gmail", "Dschi-Mehl", language="de"),
        Entry("Anna", "AH-na", voice="clara"),
        Entry("the Dr", "the doc"),
    )
)
MATCHER = LexiconMatcher([LEXICON], "en", "clara")

RESPELLED = (
    ("Sayline is here.", "SAY-line is here."),
    ("Say SAYLINE, sayline!", "Say SAY-line, SAY-line!"),
    ("In New York, all is well.", "In noo YORK, all is well."),
    ("In New  York City. Go!", "In the big apple. | Go!"),
    ("New York Minster", "noo YORK Minster"),
    ("New, York Minster", "New, the minster"),
    ("New\nYork", "noo YORK"),
    ("the **New *York***", "the noo YORK"),
    ("Is it AT&amp;T's?", "Is it ay tee's?"),
    ("Use Node.js, or C++.", "Use node jay ess, or see plus plus."),
    ("The .NET tools", "The dott nett tools"),
    ("in the US. The", "in the you ess. | The"),
    ("as soon as possible!", "A SAP!"),
    ("as soon as you can", "when you can"),
    ("as soon as", "when"),
    ("ŁÓDŹ, Ło\u0301dz\u0301", "woodge, woodge"),
    ("Mr O’Neill", "Mister oh NEEL"),
    ("Sayline-based (Sayline) “Sayline”", "SAY-line-based (SAY-line) “SAY-line”"),
    ("pre-Sayline Sayline—Sayline", "pre-SAY-line SAY-line—SAY-line"),
    ("L'Sayline d’Sayline", "L'SAY-line d’SAY-line"),
    ("Sayline-2, my iPhone 15.", "SAY-line-two, my eye phone fifteen."),
    ("Sayline™ costs $5", "SAY-line costs five dollars"),
    ("Gmail by Anna", "gee mail by AH-na"),
    ("Ask the Dr Brown.", "Ask the doc Brown."),
    ("an m here", "an em here"),
)
KEPT = (
    ("Saylines and unSayline", "Saylines and unSayline"),
    ("New Yorker, NewYork", "New Yorker, NewYork"),
    ("New\n\nYork", "New | York"),
    ("New [pause:0.5] York", "New | York"),
    ("New<br>York", "New | York"),
    ("call us now", "call us now"),
    ("www.sayline.com", "sayline dot com"),
    ("x@sayline-mail.org", "x at sayline dash mail dot org"),
    ("https://a.org/Sayline", "a dot org slash Sayline"),
    ("C++11", "C plus plus eleven"),
    ("a Node here", "a Node here"),
    ("I'm here", "I'm here"),
    ("as soon", "as soon"),
    ("as soon as. Possible", "when. | Possible"),
)


def spoken(*messages: str, matcher: LexiconMatcher = MATCHER, clean_up: bool = True) -> str:
    reader = Reader(count_words, clean_up=clean_up, lexicons=matcher)
    items = [item for message in messages for item in reader.push(message)] + reader.flush()
    check_offsets("".join(messages), items)
    return " | ".join(item.spoken for item in items if isinstance(item, TextChunk))


@pytest.mark.parametrize(("written", "said"), [*RESPELLED, *KEPT])
def test_words_are_said_as_the_lexicon_says(written: str, said: str) -> None:
    assert spoken(written) == said
    assert spoken(*written) == said


def test_every_respelled_row_depends_on_the_lexicon() -> None:
    assert [written for written, said in RESPELLED if spoken(written, matcher=LexiconMatcher(())) == said] == []


@settings(deadline=None, max_examples=150)
@given(
    st.lists(ANY_TEXT | st.sampled_from([written for written, _ in (*RESPELLED, *KEPT)]), max_size=5),
    st.lists(st.integers(0, 120), max_size=6),
    st.booleans(),
)
def test_messages_cut_anywhere_are_said_the_same(parts: list[str], splits: list[int], clean_up: bool) -> None:
    text = " ".join(parts)
    whole = spoken(text, clean_up=clean_up)
    assert spoken(*split_at(text, splits), clean_up=clean_up) == whole
    assert spoken(*text, clean_up=clean_up) == whole


def test_a_phrase_is_one_word_with_its_place_in_the_text() -> None:
    reader = Reader(count_words, lexicons=MATCHER)
    (chunk,) = reader.push("In New  York City-based firms.") + reader.flush()
    assert isinstance(chunk, TextChunk)
    assert [(word.text, word.start, word.spoken) for word in chunk.words] == [
        ("In", 0, "In"), ("New  York City-based", 3, "the big apple-based"), ("firms.", 24, "firms."),
    ]  # fmt: skip


def test_words_that_may_become_a_phrase_wait_for_the_next_one() -> None:
    reader = Reader(count_words, lexicons=MATCHER)
    reader.push("I love New ")
    assert [item.spoken for item in reader.flush_words() if isinstance(item, TextChunk)] == ["I love"]
    assert reader.pending
    assert reader.flush_words() == []
    reader.push("York ")
    assert [item.spoken for item in reader.flush() if isinstance(item, TextChunk)] == ["noo YORK"]


def test_open_sentence_has_no_half_phrase() -> None:
    reader = Reader(count_words, lexicons=MATCHER)
    reader.push("I love New ")
    chunk = reader.open_chunk()
    assert chunk is not None
    assert chunk.spoken == "I love"


def test_phrase_is_not_divided_although_it_is_long() -> None:
    reader = Reader(count_words, max_tokens=5, lexicons=LexiconMatcher([Lexicon([Entry("a b c d e f", "x y z")])]))
    items = reader.push("one two three four a b c d e f six") + reader.flush()
    assert "x y z" in [word.spoken for item in items if isinstance(item, TextChunk) for word in item.words]


def test_verbatim_phrases_have_the_lexicon_too() -> None:
    reader = Reader(count_words, clean_up=False, lexicons=MATCHER)
    items = reader.push_phrase("go. New York 5 [pause:1] AT&T")
    assert [item.spoken for item in items if isinstance(item, TextChunk)] == ["go. noo YORK 5", "ay tee"]


def test_slices_of_a_long_word_are_no_words() -> None:
    matcher = LexiconMatcher([Lexicon([Entry("abc", "xyz")])])
    assert "xyz" not in spoken("a" * 197 + "abc-abc abcd", matcher=matcher, clean_up=True)
    assert "xyz" not in spoken("-" * 29 + "abcabc", matcher=matcher, clean_up=False)


def test_first_lexicon_wins_but_the_longest_entry_before() -> None:
    own = Lexicon([Entry("new york", "own"), Entry("queens", "own queens")])
    other = Lexicon([Entry("New York City", "other city"), Entry("New York", "other")])
    matcher = LexiconMatcher([own, other])
    assert spoken("New York and New York City and Queens", matcher=matcher) == "own and other city and own queens"


def test_of_entries_for_the_same_text_the_most_specific_one_holds() -> None:
    entries = [
        Entry("Ida", "voice", voice="v"), Entry("Ida", "language", language="en"),
        Entry("Ida", "case", match_case=True), Entry("ida", "any"),
    ]  # fmt: skip
    said = [spoken("Ida IDA", matcher=LexiconMatcher([Lexicon(entries)], *use)) for use in (("en", "v"), ("en",), ())]
    assert said == ["voice voice", "language language", "case any"]


def test_later_entry_replaces_the_same_one() -> None:
    entries = merged([Entry("New  York", "a"), Entry("new york", "b"), Entry("New York", "c", match_case=True)])
    assert [entry.said for entry in entries] == ["b", "c"]


@pytest.mark.parametrize(
    "entry",
    [Entry("", "x"), Entry("+", "plus"), Entry("x", ""), Entry("x", "!"),
     Entry("x" * (MAX_WRITTEN_CHARS + 1), "x"), Entry("x", "x" * (MAX_SAID_CHARS + 1))],
)  # fmt: skip
def test_unusable_entries_are_refused(entry: Entry) -> None:
    with pytest.raises(LexiconError, match="has to be"):
        Lexicon([entry])


def test_number_of_entries_is_limited() -> None:
    entries = [Entry(f"x{i}", "y") for i in range(MAX_ENTRIES + 1)]
    assert len(merged(entries[1:])) == MAX_ENTRIES
    with pytest.raises(LexiconError, match="split it"):
        merged(entries)

"""Segmentation of streamed text into chunks, without normalization."""

import unicodedata
from collections.abc import Callable
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sayline_tts.engine.text.chunk import Pause, TextChunk
from sayline_tts.engine.text.model_text import clean
from sayline_tts.engine.text.reader import Reader
from sayline_tts.engine.text.tokenizer import load_tokenizer
from tests.engine.vocabularies import EMBEDDED, EMBEDDED_TOKENS

_EMBEDDED = load_tokenizer(EMBEDDED, "sentencepiece", EMBEDDED_TOKENS)


def count_tokens(text: str) -> int:
    return len(_EMBEDDED.encode(text))


class VerbatimReader:
    """A reader without clean-up that returns the spoken form of chunks."""

    def __init__(self, count_tokens: Callable[[str], int], max_tokens: int = 50) -> None:
        self._reader = Reader(count_tokens, clean_up=False, max_tokens=max_tokens)

    def push(self, text: str) -> list[str]:
        return spoken_forms(self._reader.push(text))

    def flush(self) -> list[str]:
        return spoken_forms(self._reader.flush())

    def flush_words(self) -> list[str]:
        return spoken_forms(self._reader.flush_words())

    def flush_clause(self) -> list[str]:
        return spoken_forms(self._reader.flush_clause())

    @property
    def pending(self) -> bool:
        return self._reader.pending

    @property
    def has_clause(self) -> bool:
        return self._reader.has_clause


def spoken_forms(items: list[TextChunk | Pause]) -> list[str]:
    return [item.spoken for item in items if isinstance(item, TextChunk)]


def count_words(text: str) -> int:
    return len(text.split())


def chunks_of(*messages: str, max_tokens: int = 50) -> list[str]:
    reader = VerbatimReader(count_tokens, max_tokens)
    return [chunk for message in messages for chunk in reader.push(message)] + reader.flush()


def without_spaces(text: str) -> str:
    return unicodedata.normalize("NFC", "".join(text.split()))


# Boundaries


def test_sentence_ends_at_the_space_after_it() -> None:
    reader = VerbatimReader(count_tokens)
    assert reader.push("Hello there.") == []
    assert reader.push(" ") == ["Hello there."]
    assert not reader.pending


def test_ambiguous_abbreviation_waits_for_the_next_word() -> None:
    reader = VerbatimReader(count_tokens)
    assert reader.push("I live in the U.S. ") == []
    assert reader.push("The") == []
    assert reader.push("n ") == ["I live in the U.S."]
    assert reader.flush() == ["Then"]


@pytest.mark.parametrize(
    "sentence",
    [
        "I met Dr. Smith today.",
        "It is about 3.14 in all.",
        "Take fruit, e.g. The Apple one.",
        "The U.S. and the U.K. agreed.",
        "See No. 5 for more.",
        "Write to bob.smith@mail.example.org or me.",
        "Go to www.x.org/a?b=c.",
        "Go to https://x.org/a.html?b=1.5&c=d!e now.",
        "He works at X.com and Yahoo.co.uk too.",
        "J. R. R. Tolkien wrote it.",
        "Version 2.0.1 is out at 5 p.m. today.",
        "It costs $3.50, or 1,000.00 yen.",
        "Wait... there is more.",
        '"Go!" she said.',
        "Mr. and Mrs. Smith (i.e. Bob) left.",
    ],
)
def test_sentence_is_one_chunk(sentence: str) -> None:
    assert chunks_of(f"{sentence} Then we left.") == [sentence, "Then we left."]
    assert chunks_of(*f"{sentence} Then we left.") == [sentence, "Then we left."]


def test_closing_punctuation_belongs_to_the_sentence_before() -> None:
    text = 'He said "Hi there." (He did.) Then “he left.” She *stayed.* Good.'
    assert chunks_of(text) == [
        'He said "Hi there."',
        "(He did.)",
        "Then “he left.”",
        "She *stayed.*",
        "Good.",
    ]


def test_only_the_first_chunk_may_be_a_clause() -> None:
    reader = VerbatimReader(count_tokens)
    text = "Well, this one is a long clause, and it goes on. One two three four five six seven, eight. "
    assert reader.push(text) == [
        "Well, this one is a long clause,",
        "and it goes on.",
        "One two three four five six seven, eight.",
    ]
    assert reader.flush() == []
    assert reader.push("After a flush one waits again, ") == ["After a flush one waits again,"]


def test_comma_in_a_number_ends_no_clause() -> None:
    assert chunks_of("There are about six or seven 1,000 euro notes.") == [
        "There are about six or seven 1,000 euro notes."
    ]


def test_list_items_and_blank_lines_end_sentences() -> None:
    text = "# Fruit\nTake these:\n- green\n  apples\n* pears, nuts\n1. One\n(2) Two\n\nA line\nthat wraps\n\nEnd"
    assert chunks_of(text) == [
        "# Fruit",
        "Take these:",
        "- green",
        "apples",
        "* pears, nuts",
        "1. One",
        "(2) Two",
        "A line that wraps",
        "End",
    ]


def test_windows_line_ends() -> None:
    assert chunks_of("A title\r\n\r\nA line\r\nmore") == ["A title", "A line more"]


def test_cjk_punctuation_needs_no_space() -> None:
    text = "こんにちは。元気ですか？「はい。」と言った！！そう、です"
    assert chunks_of(text) == ["こんにちは。", "元気ですか？", "「はい。」", "と言った！！", "そう、です"]


# Messages


def test_stream_of_llm_tokens() -> None:
    tokens = ["The", " end", ".", " Next", " we", " saw", " Dr", ".", " Sm", "ith", " at", " 3", ".", "14", ".", "\n"]
    reader = VerbatimReader(count_tokens)
    assert [reader.push(token) for token in tokens if token] == [
        *([[]] * 3),
        ["The end."],
        *([[]] * 12),
    ]
    assert reader.flush() == ["Next we saw Dr. Smith at 3.14."]


@pytest.mark.parametrize(
    ("messages", "chunks"),
    [
        (["Hello ", "there."], ["Hello there."]),
        (["Hello", " there."], ["Hello there."]),
        (["Hello", " ", "there."], ["Hello there."]),
        (["Hel", "lo the", "re."], ["Hello there."]),
        (["Hello  \n", "\t there."], ["Hello there."]),
        (["3", ".", "14 is", " pi."], ["3.14 is pi."]),
        (["e", "\u0301t", "e\u0301."], ["été."]),
        (["", "", "Hi.", ""], ["Hi."]),
    ],
)
def test_message_boundaries_do_not_affect_words(messages: list[str], chunks: list[str]) -> None:
    assert chunks_of(*messages) == chunks


# Flushes and time limits


def test_flush_returns_everything_once() -> None:
    reader = VerbatimReader(count_tokens)
    assert reader.push("Dr. Smi") == []
    assert reader.pending
    assert reader.flush() == ["Dr. Smi"]
    assert reader.flush() == []
    assert not reader.pending


def test_flush_resolves_an_ambiguous_boundary() -> None:
    assert chunks_of("I am from the U.S. Then") == ["I am from the U.S.", "Then"]


def test_flush_words_keeps_the_incomplete_word() -> None:
    reader = VerbatimReader(count_tokens)
    reader.push("We are unfin")
    assert reader.flush_words() == ["We are"]
    assert reader.pending
    assert reader.flush_words() == []
    assert reader.push("ished now. ") == ["unfinished now."]


def test_flush_words_keeps_a_title_with_its_name() -> None:
    reader = VerbatimReader(count_tokens)
    reader.push("I saw Dr. ")
    assert reader.flush_words() == ["I saw"]
    assert reader.push("Smith. ") == ["Dr. Smith."]


@pytest.mark.parametrize("text", ["Hello there.", "Well,", "They don't!", 'She said "no."', "はい。", "I said etc."])
def test_flush_words_includes_a_word_that_punctuation_completes(text: str) -> None:
    reader = VerbatimReader(count_tokens)
    assert reader.push(text) == []
    assert reader.flush_words() == [text]
    assert reader.push(" More. ") == ["More."]


@pytest.mark.parametrize("word", ["3.", "Dr.", "U.", "x@y.", "www.x.", "http:", "a"])
def test_flush_words_keeps_a_word_that_may_continue(word: str) -> None:
    reader = VerbatimReader(count_tokens)
    reader.push(f"so {word}")
    assert reader.flush_words() == (["so"] if word != "http:" else ["so http:"])


def test_flush_words_does_not_split_a_long_partial_word() -> None:
    reader = VerbatimReader(count_tokens)
    address = "www.example.org/a-rather-long-address-that-is-here"
    reader.push(f"See {address[:-5]}")
    assert reader.flush_words() == ["See"]
    assert reader.push(address[-5:]) + reader.flush() == [address]


# Unspeakable text


@pytest.mark.parametrize(
    "text", ["", " ", "\n\n", "...", ") ( ", "👍 👍", "— . — .\n\n", "\x00\u200b", "\ud800 \udc00"]
)
def test_text_without_letters_and_digits_is_never_a_chunk(text: str) -> None:
    reader = VerbatimReader(count_tokens)
    assert reader.push(text) == []
    assert not reader.pending
    assert reader.flush_words() == []
    assert reader.flush() == []


def test_punctuation_alone_joins_the_next_sentence_or_is_dropped() -> None:
    assert chunks_of('Go. ... "Where?" - ) Home. ...') == ["Go.", '... "Where?"', "- ) Home."]


def test_emoji_and_control_characters_are_not_spoken() -> None:
    assert chunks_of("Nice! 🎉 Well done👍. It\x07s\u200b me") == ["Nice!", "Well done.", "Its me"]


# Limits


def test_long_sentence_is_split_at_its_last_clause_that_fits() -> None:
    reader = VerbatimReader(count_words, max_tokens=10)
    reader.push("Go. ")
    assert reader.push("one two three four, five six seven; eight nine ten eleven twelve. ") == [
        "one two three four, five six seven;",
        "eight nine ten eleven twelve.",
    ]


def test_long_clause_is_split_between_words_but_not_after_a_title() -> None:
    reader = VerbatimReader(count_words, max_tokens=5)
    assert reader.push("one two three four Dr. Smith six ") == ["one two three four"]
    assert reader.flush() == ["Dr. Smith six"]


def test_endless_word_is_split() -> None:
    word = "abcdefgh" * 100
    chunks = chunks_of(f"See {word} now.")
    assert without_spaces("".join(chunks)) == f"See{word}now."
    assert all(count_tokens(chunk) <= 50 for chunk in chunks)


def test_limit_holds_if_words_have_more_tokens_together_than_alone() -> None:
    reader = VerbatimReader(len, max_tokens=20)
    chunks = reader.push("a bb ccc dddd " * 20) + reader.flush()
    assert all(len(chunk) <= 20 for chunk in chunks)
    assert " ".join(chunks) == ("a bb ccc dddd " * 20).strip()


@pytest.mark.slow
@pytest.mark.parametrize(
    "text", ["word ", "Hello there, you. ", "a", "日本語", "é, ", ". ", "👍", "\n", "1", "-", "a\u0301\u0323", "U.S. "]
)
def test_work_and_memory_are_bounded_for_100_000_characters(text: str) -> None:
    counted = 0

    def counting(each: str) -> int:
        nonlocal counted
        counted += len(each)
        return count_tokens(each)

    reader = VerbatimReader(counting)
    text *= 100_000 // len(text)
    spoken = 0
    for chunk in reader.push(text):
        assert count_tokens(chunk) <= 50
        spoken += sum(map(str.isalnum, chunk))
    remaining = reader.flush()
    assert sum(map(len, remaining)) < 2000
    assert counted <= 4 * len(text)
    assert spoken + sum(map(str.isalnum, "".join(remaining))) == sum(map(str.isalnum, clean(text)))


# Any text


LLM_TEXT = st.lists(
    st.sampled_from(
        [
            *(
                "Hello",
                "there",
                "the",
                "The",
                "Dr.",
                "Smith",
                "3.14",
                "e.g.",
                "U.S.",
                "No.",
                "5",
                "end.",
                "end!",
                "etc.",
            ),
            *('"Go!"', '"Then', "(see", "him.)", "well,", "so;", "a@b.org", "http://x.y/z?q=1.", "I", "J.", "Wait..."),
            *("1.", "a)", "it’s", "naïve", "cafe\u0301", "日本。", "そう、です", "x" * 40, "—", "Nice👍"),
        ]
    ).flatmap(lambda word: st.sampled_from([" ", " ", " ", "  ", "\n", "\n\n"]).map(lambda gap: word + gap)),
    max_size=40,
).map("".join)
ANY_TEXT = LLM_TEXT | st.text(st.characters(), max_size=120)


@settings(deadline=None)
@given(ANY_TEXT, st.integers(12, 60))
def test_chunks_are_the_same_for_single_characters(text: str, max_tokens: int) -> None:
    assert chunks_of(text, max_tokens=max_tokens) == chunks_of(*text, max_tokens=max_tokens)


@settings(deadline=None)
@given(ANY_TEXT, st.lists(st.integers(0, 120), max_size=5))
def test_chunks_are_the_same_for_any_messages(text: str, splits: list[int]) -> None:
    indices = [0, *sorted(splits), len(text)]
    messages = [text[start:end] for start, end in pairwise(indices)]
    assert chunks_of(*messages) == chunks_of(text)


@settings(deadline=None)
@given(LLM_TEXT)
def test_chunks_are_the_text_except_for_spaces(text: str) -> None:
    together, whole = without_spaces("".join(chunks_of(text))), without_spaces(clean(text))
    assert whole.startswith(together)
    assert not any(map(str.isalnum, whole[len(together) :]))


@settings(deadline=None)
@given(ANY_TEXT, st.integers(12, 60))
def test_chunks_are_speakable_and_fit_and_keep_every_letter(text: str, max_tokens: int) -> None:
    chunks = chunks_of(text, max_tokens=max_tokens)
    for chunk in chunks:
        assert any(map(str.isalnum, chunk))
        assert chunk == " ".join(chunk.split())
        assert count_tokens(chunk) <= max_tokens or len(chunk) == 1
    spoken = [char for char in without_spaces("".join(chunks)) if char.isalnum()]
    assert spoken == [char for char in without_spaces(clean(text)) if char.isalnum()]


@settings(deadline=None)
@given(st.lists(LLM_TEXT | st.sampled_from(["flush_words", "flush"]), max_size=12))
def test_time_limits_and_flushes_keep_every_letter(steps: list[str]) -> None:
    reader = VerbatimReader(count_tokens)
    spoken, sent = "", ""
    for step in steps:
        if step == "flush_words":
            spoken += "".join(reader.flush_words())
        elif step == "flush":
            spoken += "".join(reader.flush())
        else:
            spoken += "".join(reader.push(step))
            sent += step
    spoken += "".join(reader.flush())
    assert not reader.pending
    assert [char for char in without_spaces(spoken) if char.isalnum()] == [
        char for char in without_spaces(clean(sent)) if char.isalnum()
    ]


def test_flush_clause_returns_text_up_to_the_last_clause_end() -> None:
    reader = VerbatimReader(lambda text: len(text.split()))
    assert reader.push("Hello. Then there will be something to eat, and later, maybe, some more") == ["Hello."]
    assert reader.has_clause
    assert reader.flush_clause() == ["Then there will be something to eat, and later, maybe,"]
    assert not reader.has_clause
    assert reader.flush_clause() == []
    assert reader.push(".") + reader.flush() == ["some more."]


def test_clause_of_two_words_is_not_flushed() -> None:
    reader = VerbatimReader(lambda text: len(text.split()))
    assert reader.push("Oh well, there it") == []
    assert not reader.has_clause


# Sentences that are spoken while they are written


def open_text(reader: Reader) -> str | None:
    chunk = reader.open_chunk()
    return None if chunk is None else chunk.spoken


def test_open_chunk_is_the_sentence_up_to_the_last_word_that_cannot_change() -> None:
    reader = Reader(count_words)
    assert open_text(reader) is None
    assert reader.push("It cost $5") == []
    assert (reader.final_words, open_text(reader)) == (2, "It cost")
    assert reader.push(" million") == []
    assert (reader.final_words, open_text(reader)) == (2, "It cost"), "dollars may follow"
    assert reader.push(" and ") == []
    assert (reader.final_words, open_text(reader)) == (5, "It cost five million dollars and")
    assert spoken_forms(reader.push("more. ")) == ["It cost five million dollars and more."]


def test_punctuation_alone_is_no_open_chunk() -> None:
    reader = Reader(count_words)
    reader.push("-- ... ")
    assert open_text(reader) is None


def test_words_that_were_shown_stay_in_one_chunk_when_the_sentence_becomes_too_long() -> None:
    text = "one two three, four five six seven "
    reader, other = (Reader(count_words, max_tokens=8) for _ in range(2))
    reader.push(text)
    other.push(text)
    assert open_text(reader) == text.strip()
    assert spoken_forms(other.push("eight nine ten ")) == ["one two three,"]
    assert spoken_forms(reader.push("eight nine ten ")) == ["one two three, four five six seven"]


def test_words_that_were_shown_stay_in_one_chunk_when_they_have_too_many_tokens_together() -> None:
    def count_together(text: str) -> int:
        """Words cost more together than alone."""
        return count_words(text) ** 2 // 4 + 1

    reader, other = (Reader(count_together, max_tokens=10) for _ in range(2))
    for each in (reader, other):
        each.push("one two three four five ")
    assert open_text(reader) == "one two three four five"
    assert spoken_forms(other.push("six seven eight. ")) == ["one two three four", "five six seven eight."]
    assert spoken_forms(reader.push("six seven eight. ")) == ["one two three four five", "six seven eight."]
    reader.push("one two three four five six seven ")
    assert open_text(reader) is None, "too long for a chunk"

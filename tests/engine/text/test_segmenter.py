"""engine/text/segmenter.py: where text that arrives in pieces becomes passages, with every word as it is written."""

import unicodedata
from collections.abc import Callable
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sayline_tts.engine.text.chunk import Passage, Pause
from sayline_tts.engine.text.model_text import clean
from sayline_tts.engine.text.reader import Reader
from sayline_tts.engine.text.tokenizer import load_tokenizer
from tests.engine.vocabularies import EMBEDDED, EMBEDDED_TOKENS

_EMBEDDED = load_tokenizer(EMBEDDED, "sentencepiece", EMBEDDED_TOKENS)


def count_tokens(text: str) -> int:
    return len(_EMBEDDED.encode(text))


class Segmenter:
    """A reader without clean-up, of which only what is spoken is looked at."""

    def __init__(self, count_tokens: Callable[[str], int], max_tokens: int = 50) -> None:
        self._reader = Reader(count_tokens, clean_up=False, max_tokens=max_tokens)

    def push(self, text: str) -> list[str]:
        return texts(self._reader.push(text))

    def flush(self) -> list[str]:
        return texts(self._reader.flush())

    def cut(self) -> list[str]:
        return texts(self._reader.cut())

    def breathe(self) -> list[str]:
        return texts(self._reader.breathe())

    @property
    def pending(self) -> bool:
        return self._reader.pending

    @property
    def may_breathe(self) -> bool:
        return self._reader.may_breathe


def texts(items: list[Passage | Pause]) -> list[str]:
    return [item.spoken for item in items if isinstance(item, Passage)]


def count_words(text: str) -> int:
    return len(text.split())


def segments_of(*messages: str, max_tokens: int = 50) -> list[str]:
    segmenter = Segmenter(count_tokens, max_tokens)
    return [segment for message in messages for segment in segmenter.push(message)] + segmenter.flush()


def squeezed(text: str) -> str:
    return unicodedata.normalize("NFC", "".join(text.split()))


# When is a segment complete?


def test_a_sentence_is_complete_at_the_blank_after_it() -> None:
    segmenter = Segmenter(count_tokens)
    assert segmenter.push("Hello there.") == []
    assert segmenter.push(" ") == ["Hello there."]
    assert not segmenter.pending


def test_an_abbreviation_that_can_end_a_sentence_waits_for_the_whole_next_word() -> None:
    segmenter = Segmenter(count_tokens)
    assert segmenter.push("I live in the U.S. ") == []
    assert segmenter.push("The") == []
    assert segmenter.push("n ") == ["I live in the U.S."]
    assert segmenter.flush() == ["Then"]


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
def test_a_sentence_stays_in_one_piece(sentence: str) -> None:
    assert segments_of(f"{sentence} Then we left.") == [sentence, "Then we left."]
    assert segments_of(*f"{sentence} Then we left.") == [sentence, "Then we left."]


def test_closing_quotes_and_brackets_belong_to_the_sentence_before() -> None:
    text = 'He said "Hi there." (He did.) Then “he left.” She *stayed.* Good.'
    assert segments_of(text) == [
        'He said "Hi there."',
        "(He did.)",
        "Then “he left.”",
        "She *stayed.*",
        "Good.",
    ]


def test_only_the_first_segment_may_be_a_clause() -> None:
    segmenter = Segmenter(count_tokens)
    text = "Well, this one is a long clause, and it goes on. One two three four five six seven, eight. "
    assert segmenter.push(text) == [
        "Well, this one is a long clause,",
        "and it goes on.",
        "One two three four five six seven, eight.",
    ]
    assert segmenter.flush() == []
    assert segmenter.push("After a flush one waits again, ") == ["After a flush one waits again,"]


def test_a_number_with_a_comma_is_no_clause_end() -> None:
    assert segments_of("There are about six or seven 1,000 euro notes.") == [
        "There are about six or seven 1,000 euro notes."
    ]


def test_lines_of_a_list_and_blank_lines_end_sentences() -> None:
    text = "# Fruit\nTake these:\n- green\n  apples\n* pears, nuts\n1. One\n(2) Two\n\nA line\nthat wraps\n\nEnd"
    assert segments_of(text) == [
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


def test_windows_line_ends_are_line_ends() -> None:
    assert segments_of("A title\r\n\r\nA line\r\nmore") == ["A title", "A line more"]


def test_chinese_and_japanese_marks_need_no_blank() -> None:
    text = "こんにちは。元気ですか？「はい。」と言った！！そう、です"
    assert segments_of(text) == ["こんにちは。", "元気ですか？", "「はい。」", "と言った！！", "そう、です"]


# Messages


def test_a_stream_of_a_language_models_tokens() -> None:
    tokens = ["The", " end", ".", " Next", " we", " saw", " Dr", ".", " Sm", "ith", " at", " 3", ".", "14", ".", "\n"]
    segmenter = Segmenter(count_tokens)
    assert [segmenter.push(token) for token in tokens if token] == [
        *([[]] * 3),
        ["The end."],
        *([[]] * 12),
    ]
    assert segmenter.flush() == ["Next we saw Dr. Smith at 3.14."]


@pytest.mark.parametrize(
    ("messages", "segments"),
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
def test_words_are_neither_split_nor_joined(messages: list[str], segments: list[str]) -> None:
    assert segments_of(*messages) == segments


# Flush and cut


def test_flush_gives_all_and_then_nothing() -> None:
    segmenter = Segmenter(count_tokens)
    assert segmenter.push("Dr. Smi") == []
    assert segmenter.pending
    assert segmenter.flush() == ["Dr. Smi"]
    assert segmenter.flush() == []
    assert not segmenter.pending


def test_flush_still_ends_the_sentence_that_waited_for_a_word() -> None:
    assert segments_of("I am from the U.S. Then") == ["I am from the U.S.", "Then"]


def test_cut_keeps_the_unfinished_word() -> None:
    segmenter = Segmenter(count_tokens)
    segmenter.push("We are unfin")
    assert segmenter.cut() == ["We are"]
    assert segmenter.pending
    assert segmenter.cut() == []
    assert segmenter.push("ished now. ") == ["unfinished now."]


def test_cut_keeps_a_title_with_its_name() -> None:
    segmenter = Segmenter(count_tokens)
    segmenter.push("I saw Dr. ")
    assert segmenter.cut() == ["I saw"]
    assert segmenter.push("Smith. ") == ["Dr. Smith."]


@pytest.mark.parametrize("text", ["Hello there.", "Well,", "They don't!", 'She said "no."', "はい。", "I said etc."])
def test_cut_takes_a_word_that_its_mark_finishes(text: str) -> None:
    segmenter = Segmenter(count_tokens)
    assert segmenter.push(text) == []
    assert segmenter.cut() == [text]
    assert segmenter.push(" More. ") == ["More."]


@pytest.mark.parametrize("word", ["3.", "Dr.", "U.", "x@y.", "www.x.", "http:", "a"])
def test_cut_leaves_what_may_go_on(word: str) -> None:
    segmenter = Segmenter(count_tokens)
    segmenter.push(f"so {word}")
    assert segmenter.cut() == (["so"] if word != "http:" else ["so http:"])


def test_cut_does_not_tear_a_long_word_of_which_a_part_is_there() -> None:
    segmenter = Segmenter(count_tokens)
    address = "www.example.org/a-rather-long-address-that-is-here"
    segmenter.push(f"See {address[:-5]}")
    assert segmenter.cut() == ["See"]
    assert segmenter.push(address[-5:]) + segmenter.flush() == [address]


# Nothing to say


@pytest.mark.parametrize(
    "text", ["", " ", "\n\n", "...", ") ( ", "👍 👍", "— . — .\n\n", "\x00\u200b", "\ud800 \udc00"]
)
def test_what_has_no_letter_and_no_digit_is_never_a_segment(text: str) -> None:
    segmenter = Segmenter(count_tokens)
    assert segmenter.push(text) == []
    assert not segmenter.pending
    assert segmenter.cut() == []
    assert segmenter.flush() == []


def test_marks_alone_go_with_the_words_after_them_or_away_at_the_end() -> None:
    assert segments_of('Go. ... "Where?" - ) Home. ...') == ["Go.", '... "Where?"', "- ) Home."]


def test_emoji_and_control_characters_are_not_spoken() -> None:
    assert segments_of("Nice! 🎉 Well done👍. It\x07s\u200b me") == ["Nice!", "Well done.", "Its me"]


# Too long


def test_a_too_long_sentence_is_cut_at_its_last_clause_that_fits() -> None:
    segmenter = Segmenter(count_words, max_tokens=10)
    segmenter.push("Go. ")
    assert segmenter.push("one two three four, five six seven; eight nine ten eleven twelve. ") == [
        "one two three four, five six seven;",
        "eight nine ten eleven twelve.",
    ]


def test_a_too_long_clause_is_cut_between_words_but_not_after_a_title() -> None:
    segmenter = Segmenter(count_words, max_tokens=5)
    assert segmenter.push("one two three four Dr. Smith six ") == ["one two three four"]
    assert segmenter.flush() == ["Dr. Smith six"]


def test_a_word_without_end_is_cut_hard() -> None:
    word = "abcdefgh" * 100
    segments = segments_of(f"See {word} now.")
    assert squeezed("".join(segments)) == f"See{word}now."
    assert all(count_tokens(segment) <= 50 for segment in segments)


def test_a_counter_that_counts_more_for_words_together_still_has_its_limit() -> None:
    segmenter = Segmenter(len, max_tokens=20)
    segments = segmenter.push("a bb ccc dddd " * 20) + segmenter.flush()
    assert all(len(segment) <= 20 for segment in segments)
    assert " ".join(segments) == ("a bb ccc dddd " * 20).strip()


@pytest.mark.parametrize(
    "text", ["word ", "Hello there, you. ", "a", "日本語", "é, ", ". ", "👍", "\n", "1", "-", "a\u0301\u0323", "U.S. "]
)
def test_a_hundred_thousand_characters_of_anything_have_bounded_work_and_memory(text: str) -> None:
    counted = 0

    def counting(each: str) -> int:
        nonlocal counted
        counted += len(each)
        return count_tokens(each)

    segmenter = Segmenter(counting)
    text *= 100_000 // len(text)
    spoken = 0
    for segment in segmenter.push(text):
        assert count_tokens(segment) <= 50
        spoken += sum(map(str.isalnum, segment))
    waiting = segmenter.flush()
    assert sum(map(len, waiting)) < 2000
    assert counted <= 4 * len(text)
    assert spoken + sum(map(str.isalnum, "".join(waiting))) == sum(map(str.isalnum, clean(text)))


# For any text


ORDINARY = st.lists(
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
ANYTHING = ORDINARY | st.text(st.characters(), max_size=120)


@settings(deadline=None)
@given(ANYTHING, st.integers(12, 60))
def test_one_character_at_a_time_gives_the_segments_of_the_whole(text: str, max_tokens: int) -> None:
    assert segments_of(text, max_tokens=max_tokens) == segments_of(*text, max_tokens=max_tokens)


@settings(deadline=None)
@given(ANYTHING, st.lists(st.integers(0, 120), max_size=5))
def test_a_text_in_any_messages_gives_the_segments_of_the_whole(text: str, cuts: list[int]) -> None:
    places = [0, *sorted(cuts), len(text)]
    messages = [text[start:end] for start, end in pairwise(places)]
    assert segments_of(*messages) == segments_of(text)


@settings(deadline=None)
@given(ORDINARY)
def test_the_segments_are_the_text_up_to_blanks(text: str) -> None:
    together, whole = squeezed("".join(segments_of(text))), squeezed(clean(text))
    assert whole.startswith(together)
    assert not any(map(str.isalnum, whole[len(together) :]))


@settings(deadline=None)
@given(ANYTHING, st.integers(12, 60))
def test_every_segment_can_be_heard_and_fits_and_no_letter_is_lost(text: str, max_tokens: int) -> None:
    segments = segments_of(text, max_tokens=max_tokens)
    for segment in segments:
        assert any(map(str.isalnum, segment))
        assert segment == " ".join(segment.split())
        assert count_tokens(segment) <= max_tokens or len(segment) == 1
    heard = [char for char in squeezed("".join(segments)) if char.isalnum()]
    assert heard == [char for char in squeezed(clean(text)) if char.isalnum()]


@settings(deadline=None)
@given(st.lists(ORDINARY | st.sampled_from(["cut", "flush"]), max_size=12))
def test_time_limits_and_flushes_lose_nothing_and_leave_nothing(steps: list[str]) -> None:
    segmenter = Segmenter(count_tokens)
    heard, sent = "", ""
    for step in steps:
        if step == "cut":
            heard += "".join(segmenter.cut())
        elif step == "flush":
            heard += "".join(segmenter.flush())
        else:
            heard += "".join(segmenter.push(step))
            sent += step
    heard += "".join(segmenter.flush())
    assert not segmenter.pending
    assert [char for char in squeezed(heard) if char.isalnum()] == [
        char for char in squeezed(clean(sent)) if char.isalnum()
    ]


def test_a_breath_takes_the_last_finished_clause_and_leaves_the_rest() -> None:
    segmenter = Segmenter(lambda text: len(text.split()))
    assert segmenter.push("Hello. Then there will be something to eat, and later, maybe, some more") == ["Hello."]
    assert segmenter.may_breathe
    assert segmenter.breathe() == ["Then there will be something to eat, and later, maybe,"]
    assert not segmenter.may_breathe
    assert segmenter.breathe() == []
    assert segmenter.push(".") + segmenter.flush() == ["some more."]


def test_a_clause_of_two_words_is_not_worth_a_breath() -> None:
    segmenter = Segmenter(lambda text: len(text.split()))
    assert segmenter.push("Oh well, there it") == []
    assert not segmenter.may_breathe

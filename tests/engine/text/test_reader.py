"""engine/text/reader.py: text in whatever pieces it comes, with its places, its marks and its pauses."""

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sayline_tts.engine.text.chunk import Passage, Pause, Word
from sayline_tts.engine.text.model_text import clean
from sayline_tts.engine.text.reader import Reader
from tests.engine.text.texts import ANYTHING, check_offsets, count_words, cut_up, read, said, spoken

# For any text


@settings(deadline=None, max_examples=400)
@given(ANYTHING, st.integers(5, 40), st.booleans())
def test_one_character_at_a_time_gives_the_passages_of_the_whole(text: str, max_tokens: int, clean_up: bool) -> None:
    whole = read(text, clean_up=clean_up, max_tokens=max_tokens)
    assert read(*text, clean_up=clean_up, max_tokens=max_tokens) == whole


@settings(deadline=None, max_examples=400)
@given(ANYTHING, st.lists(st.integers(0, 120), max_size=6), st.booleans())
def test_a_text_in_any_messages_gives_the_passages_of_the_whole(text: str, cuts: list[int], clean_up: bool) -> None:
    assert read(*cut_up(text, cuts), clean_up=clean_up) == read(text, clean_up=clean_up)


@settings(deadline=None, max_examples=400)
@given(ANYTHING, st.integers(1, 40), st.booleans())
def test_each_word_is_what_was_written_in_its_place(text: str, max_tokens: int, clean_up: bool) -> None:
    check_offsets(text, read(text, clean_up=clean_up, max_tokens=max_tokens))


@settings(deadline=None)
@given(st.lists(ANYTHING | st.sampled_from(["cut", "flush", "breathe"]), max_size=12), st.booleans())
def test_places_count_on_through_flushes_and_time_limits(steps: list[str], clean_up: bool) -> None:
    reader, sent, items = Reader(count_words, clean_up=clean_up), "", list[Passage | Pause]()
    for step in steps:
        if step in ("cut", "flush", "breathe"):
            items += getattr(reader, step)()
        else:
            items += reader.push(step)
            sent += step
    items += reader.flush()
    assert not reader.pending
    check_offsets(sent, items)


@settings(deadline=None)
@given(ANYTHING, ANYTHING)
def test_after_a_flush_text_is_read_like_a_new_one(first: str, second: str) -> None:
    reader = Reader(count_words)
    reader.push(first)
    reader.flush()
    assert said(reader.push(second) + reader.flush()) == spoken(second)


@settings(deadline=None, max_examples=400)
@given(ANYTHING)
def test_nothing_that_is_said_has_a_digit_or_a_mark_of_markdown(text: str) -> None:
    for item in read(text):
        if isinstance(item, Passage):
            assert not any(char.isdigit() or char in "*_`~#<>[]{}|\\^$%@&=+" for char in item.spoken), item


@settings(deadline=None)
@given(ANYTHING)
def test_without_clean_up_a_word_is_spoken_as_it_is_written(text: str) -> None:
    for item in read(text, clean_up=False):
        if isinstance(item, Passage):
            assert all(word.spoken == clean(word.text) for word in item.words)


@settings(deadline=None)
@given(ANYTHING, st.booleans())
def test_a_whole_phrase_has_the_pauses_of_the_text_and_one_passage_between_two(text: str, clean_up: bool) -> None:
    items = Reader(count_words, clean_up=clean_up).whole(text)
    check_offsets(text, items)
    kinds = [isinstance(item, Pause) for item in items]
    assert not any(first is second is False for first, second in itertools.pairwise(kinds))
    assert [each for each in items if isinstance(each, Pause)] == [
        each for each in read(text, clean_up=clean_up) if isinstance(each, Pause)
    ]


@pytest.mark.parametrize(
    "text",
    [
        "word ",
        "a",
        "1",
        "-",
        "<",
        "<b ",
        "[",
        "](",
        "[x](",
        "`",
        "```\n",
        "*",
        "**a** ",
        "| ",
        "> ",
        "1. ",
        "$5 ",
        "12:30 ",
        "(",
        "👍",
    ],
)
@pytest.mark.parametrize("clean_up", [True, False])
def test_what_waits_is_bounded_whatever_comes(text: str, clean_up: bool) -> None:
    reader = Reader(count_words, clean_up=clean_up)
    reader.push(text * (50_000 // len(text)))
    waiting = reader.flush()
    assert sum(len(word.text) for item in waiting if isinstance(item, Passage) for word in item.words) < 12_000


# Words


def test_a_word_spans_what_was_written_and_knows_what_is_spoken() -> None:
    (passage,) = read("It is **$5**, or so.")
    assert isinstance(passage, Passage)
    assert passage.words == (
        Word("It", 0, 2, "It"),
        Word("is", 3, 5, "is"),
        Word("$5", 8, 10, "five dollars,"),
        Word("or", 14, 16, "or"),
        Word("so.", 17, 20, "so."),
    )
    assert passage.spoken == "It is five dollars, or so."
    assert (passage.start, passage.end) == (0, 20)


def test_words_without_a_blank_between_them_stay_together() -> None:
    (passage,) = read("x" * 32 + "yz", clean_up=False)
    assert isinstance(passage, Passage)
    assert [word.glued for word in passage.words] == [False, True]
    assert passage.spoken == "x" * 32 + "yz"


# Pauses


@pytest.mark.parametrize(
    ("tag", "duration_ms"),
    [
        ('<break time="500ms"/>', 500),
        ('<break time="0.5s"/>', 500),
        ("<break time='1s' />", 1000),
        ('<BREAK TIME="20ms">', 20),
        ("<break/>", 400),
        ('<break strength="strong"/>', 700),
        ("[pause:0.5]", 500),
        ("[pause:0.5s]", 500),
        ("[pause:250ms]", 250),
        ("[pause: 1]", 1000),
        ("[pause:999]", 10_000),
        ('<break time="99999999s"/>', 10_000),
    ],
)
@pytest.mark.parametrize("clean_up", [True, False])
def test_a_pause_is_silence_in_its_place(tag: str, duration_ms: float, clean_up: bool) -> None:
    text = f"One{tag}two {tag} three."
    items = read(text, clean_up=clean_up)
    assert said(items) == ["One", duration_ms, "two", duration_ms, "three."]
    assert [item.at for item in items if isinstance(item, Pause)] == [3, 3 + len(tag) + 4]
    assert read(*text, clean_up=clean_up) == items


@pytest.mark.parametrize("tag", ["[pause]", "[pause:]", "[pause:x]", "<breaking>", "< break/>", "[paused:1]"])
def test_what_is_no_pause_is_text(tag: str) -> None:
    assert all(isinstance(item, Passage) for item in read(f"One {tag} two."))


def test_a_pause_of_nothing_is_none() -> None:
    assert spoken('One <break time="0s"/> two.') == ["One two."]


def test_a_pause_takes_what_waits_with_it() -> None:
    reader = Reader(count_words)
    assert said(reader.push("And then [pause:1]")) == ["And then", 1000]
    assert not reader.pending


# Time limits


def test_a_number_waits_for_what_it_counts() -> None:
    reader = Reader(count_words)
    reader.push("It weighs 5 ")
    assert said(reader.cut()) == ["It weighs"]
    assert said(reader.push("kg. ") + reader.flush()) == ["five kilograms."]


def test_a_word_is_not_finished_while_a_mark_behind_it_is_open() -> None:
    reader = Reader(count_words)
    reader.push("Hello there.<br")
    assert said(reader.cut()) == ["Hello"]
    assert said(reader.push("eak/> Now.") + reader.flush()) == ["there.", 400, "Now."]


def test_a_phrase_is_one_passage_whatever_its_marks_say() -> None:
    reader = Reader(count_words, max_tokens=3)
    assert said(reader.whole("One. Two! And **three** four five?\n\nSix")) == ["One. Two! And three four five? Six"]
    assert said(reader.whole("$5 [pause:1] more")) == ["five dollars", 1000, "more"]
    assert not reader.pending

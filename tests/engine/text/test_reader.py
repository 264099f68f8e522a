"""Reading of streamed text: chunks, offsets, pauses and time limits."""

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sayline_tts.engine.text.chunk import Pause, TextChunk, Word
from sayline_tts.engine.text.model_text import clean
from sayline_tts.engine.text.reader import Reader
from tests.engine.text.texts import ANY_TEXT, check_offsets, count_words, read, split_at, spoken, spoken_items

FLUSHES = ["flush", "flush_words", "flush_clause"]


@settings(deadline=None, max_examples=400)
@given(ANY_TEXT, st.integers(5, 40), st.booleans())
def test_chunks_are_the_same_for_single_characters(text: str, max_tokens: int, clean_up: bool) -> None:
    whole = read(text, clean_up=clean_up, max_tokens=max_tokens)
    assert read(*text, clean_up=clean_up, max_tokens=max_tokens) == whole


@settings(deadline=None, max_examples=400)
@given(ANY_TEXT, st.lists(st.integers(0, 120), max_size=6), st.booleans())
def test_chunks_are_the_same_for_any_messages(text: str, splits: list[int], clean_up: bool) -> None:
    assert read(*split_at(text, splits), clean_up=clean_up) == read(text, clean_up=clean_up)


@settings(deadline=None, max_examples=400)
@given(ANY_TEXT, st.integers(1, 40), st.booleans())
def test_words_are_the_source_text_at_their_offsets(text: str, max_tokens: int, clean_up: bool) -> None:
    check_offsets(text, read(text, clean_up=clean_up, max_tokens=max_tokens))


@settings(deadline=None)
@given(st.lists(ANY_TEXT | st.sampled_from(FLUSHES), max_size=12), st.booleans())
def test_offsets_continue_after_flushes_and_time_limits(steps: list[str], clean_up: bool) -> None:
    reader, sent, items = Reader(count_words, clean_up=clean_up), "", list[TextChunk | Pause]()
    for step in steps:
        if step in FLUSHES:
            items += getattr(reader, step)()
        else:
            items += reader.push(step)
            sent += step
    items += reader.flush()
    assert not reader.pending
    check_offsets(sent, items)


@settings(deadline=None)
@given(ANY_TEXT, ANY_TEXT)
def test_flush_starts_over(first: str, second: str) -> None:
    reader = Reader(count_words)
    reader.push(first)
    reader.flush()
    assert spoken_items(reader.push(second) + reader.flush()) == spoken(second)


@settings(deadline=None, max_examples=400)
@given(ANY_TEXT)
def test_spoken_form_has_no_digits_or_symbols(text: str) -> None:
    for item in read(text):
        if isinstance(item, TextChunk):
            assert not any(char.isdigit() or char in "*_`~#<>[]{}|\\^$%@&=+" for char in item.spoken), item


@settings(deadline=None)
@given(ANY_TEXT)
def test_words_are_spoken_as_written_without_clean_up(text: str) -> None:
    for item in read(text, clean_up=False):
        if isinstance(item, TextChunk):
            assert all(word.spoken == clean(word.text) for word in item.words)


@settings(deadline=None)
@given(ANY_TEXT, st.booleans())
def test_phrase_is_divided_by_pauses_only(text: str, clean_up: bool) -> None:
    items = Reader(count_words, clean_up=clean_up).push_phrase(text)
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
        "&",
        "&amp;",
        "&#39;",
        "a.B",
        "it.It",
        "<think>",
        "</think>x",
        "II, ",
        "St ",
        "`a",
    ],
)
@pytest.mark.slow
@pytest.mark.parametrize("clean_up", [True, False])
def test_buffered_text_is_bounded(text: str, clean_up: bool) -> None:
    reader = Reader(count_words, clean_up=clean_up)
    reader.push(text * (50_000 // len(text)))
    buffered = reader.flush()
    assert sum(len(word.text) for item in buffered if isinstance(item, TextChunk) for word in item.words) < 12_000


# Words


def test_word_has_source_text_offsets_and_spoken_form() -> None:
    (chunk,) = read("It is **$5**, or so.")
    assert isinstance(chunk, TextChunk)
    assert chunk.words == (
        Word("It", 0, 2, "It"),
        Word("is", 3, 5, "is"),
        Word("$5", 8, 10, "five dollars,"),
        Word("or", 14, 16, "or"),
        Word("so.", 17, 20, "so."),
    )
    assert chunk.spoken == "It is five dollars, or so."
    assert (chunk.start, chunk.end) == (0, 20)


def test_slices_of_a_word_are_joined() -> None:
    (chunk,) = read("x" * 32 + "yz", clean_up=False)
    assert isinstance(chunk, TextChunk)
    assert [word.after_space for word in chunk.words] == [True, False]
    assert chunk.spoken == "x" * 32 + "yz"


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
def test_pause_tags_are_recognized(tag: str, duration_ms: float, clean_up: bool) -> None:
    text = f"One{tag}two {tag} three."
    items = read(text, clean_up=clean_up)
    assert spoken_items(items) == ["One", duration_ms, "two", duration_ms, "three."]
    assert [item.offset for item in items if isinstance(item, Pause)] == [3, 3 + len(tag) + 4]
    assert read(*text, clean_up=clean_up) == items


@pytest.mark.parametrize("tag", ["[pause]", "[pause:]", "[pause:x]", "<breaking>", "< break/>", "[paused:1]"])
def test_text_that_resembles_a_pause_is_spoken(tag: str) -> None:
    assert all(isinstance(item, TextChunk) for item in read(f"One {tag} two."))


def test_pause_of_zero_length_is_ignored() -> None:
    assert spoken('One <break time="0s"/> two.') == ["One two."]


def test_pause_flushes_the_text_before_it() -> None:
    reader = Reader(count_words)
    assert spoken_items(reader.push("And then [pause:1]")) == ["And then", 1000]
    assert not reader.pending


# Time limits


def test_number_waits_for_its_unit() -> None:
    reader = Reader(count_words)
    reader.push("It weighs 5 ")
    assert spoken_items(reader.flush_words()) == ["It weighs"]
    assert spoken_items(reader.push("kg. ") + reader.flush()) == ["five kilograms."]


def test_word_is_incomplete_while_markup_after_it_is_open() -> None:
    reader = Reader(count_words)
    reader.push("Hello there.<br")
    assert spoken_items(reader.flush_words()) == ["Hello"]
    assert spoken_items(reader.push("eak/> Now.") + reader.flush()) == ["there.", 400, "Now."]


def test_phrase_is_one_chunk_whatever_its_punctuation() -> None:
    reader = Reader(count_words, max_tokens=3)
    phrase = reader.push_phrase("One. Two! And **three** four five?\n\nSix")
    assert spoken_items(phrase) == ["One. Two! And three four five? Six"]
    assert spoken_items(reader.push_phrase("$5 [pause:1] more")) == ["five dollars", 1000, "more"]
    assert not reader.pending


# Sentences that are too long


@pytest.mark.parametrize(
    ("language", "text", "chunks"),
    [
        (
            "en",
            "They won the cup for the third year in a row and nobody there was much surprised then.",
            ["They won the cup for the third year in a row", "and nobody there was much surprised then."],
        ),
        (
            "en",
            "One two three four five six seven in eight nine ten eleven twelve thirteen.",
            ["One two three four five six seven", "in eight nine ten eleven twelve thirteen."],
        ),
        (
            "en",
            "One two three four five six seven in eight which nine ten eleven twelve thirteen.",
            ["One two three four five six seven in eight", "which nine ten eleven twelve thirteen."],
        ),
        (
            "en",
            "One and two three four five six seven eight nine ten eleven twelve thirteen.",
            ["One and two three four five six seven eight nine ten eleven", "twelve thirteen."],
        ),
        (
            "en",
            "One two three four five six, seven and eight nine ten eleven twelve thirteen.",
            ["One two three four five six,", "seven and eight nine ten eleven twelve thirteen."],
        ),
        (
            "de",
            "Eins zwei drei vier fünf sechs sieben und acht neun zehn elf zwölf dreizehn.",
            ["Eins zwei drei vier fünf sechs sieben", "und acht neun zehn elf zwölf dreizehn."],
        ),
        (
            "fr",
            "Un deux trois quatre cinq six sept dans huit neuf dix onze douze treize.",
            ["Un deux trois quatre cinq six sept", "dans huit neuf dix onze douze treize."],
        ),
        (
            "es",
            "Uno dos tres cuatro cinco seis siete con ocho nueve diez once doce trece.",
            ["Uno dos tres cuatro cinco seis siete", "con ocho nueve diez once doce trece."],
        ),
        (
            "it",
            "Uno due tre quattro cinque sei sette con otto nove dieci undici dodici tredici.",
            ["Uno due tre quattro cinque sei sette", "con otto nove dieci undici dodici tredici."],
        ),
        (
            "pt",
            "Um dois três quatro cinco seis sete com oito nove dez onze doze treze.",
            ["Um dois três quatro cinco seis sete", "com oito nove dez onze doze treze."],
        ),
        (
            "nl",
            "Een twee drie vier vijf zes zeven met acht negen tien elf twaalf dertien.",
            ["Een twee drie vier vijf zes zeven", "met acht negen tien elf twaalf dertien."],
        ),
    ],
)
def test_long_sentence_is_divided_before_a_phrase(language: str, text: str, chunks: list[str]) -> None:
    items = read(text, language=language, max_tokens=12)
    assert spoken_items(items) == chunks
    assert read(*text, language=language, max_tokens=12) == items
    check_offsets(text, items)
    assert [isinstance(item, TextChunk) and item.continues for item in items] == [not chunks[0].endswith(","), False]


@pytest.mark.parametrize(
    ("text", "continues"),
    [
        ("One two three. Four five six seven.", [False, False]),
        ("one two three\n\nfour five", [False, False]),
        ("1984 1985 1986", [True, False]),
        ("one two three four five six seven", [True, False]),
        ("one two three four five, six seven", [False, False]),
    ],
)
def test_chunk_continues_where_a_phrase_is_divided(text: str, continues: list[bool]) -> None:
    items = read(text, max_tokens=5)
    assert [isinstance(item, TextChunk) and item.continues for item in items] == continues


def test_halves_of_a_chunk_continue_unless_they_end_with_punctuation() -> None:
    def count(text: str) -> int:
        return max(1, len(text.split()) ** 2 // 4)

    def continues(text: str) -> list[bool]:
        reader = Reader(count, max_tokens=8)
        return [isinstance(item, TextChunk) and item.continues for item in reader.push(text) + reader.flush()]

    assert continues("one two three four five six.") == [True, False]
    assert continues("one two three, four five six.") == [False, False]

"""Selection and normalization of training sentences."""

import random
from pathlib import Path

import pytest

from training.data.text import HeldOutFilter, is_usable, normalize_for_model
from training.data.text_phrases import agent_phrases, short_answers, word_coverage_phrases
from training.data.text_shapes import (
    NUMBERS,
    _fill_slots,
    short_utterances,
    similar_clauses,
    single_words,
    word_lists,
)
from training.data.text_sources import documentation, fortunes, sentences


def test_numbers_are_normalized_to_words() -> None:
    assert normalize_for_model("it costs 12 dollars") == "It costs twelve dollars."


def test_text_without_words_is_rejected() -> None:
    assert normalize_for_model("...") is None


@pytest.mark.parametrize(
    "sentence",
    ["Yes.", "OK, got it.", "I am looking for an honest man.", "Well, why not?", 'He said "maybe" and left.'],
)
def test_plain_english_is_usable(sentence: str) -> None:
    assert is_usable(sentence)


@pytest.mark.parametrize(
    "sentence",
    [
        "The TCP stack.", "No end", "Xqzzt is no word.", "Call foo.bar now.", "He said 'maybe.", "H a l.",
        "One. Two.", "A " + "very " * 30 + "long one.", "Straße und Weg.", '"Open.',
    ],
)  # fmt: skip
def test_ambiguous_text_is_not_usable(sentence: str) -> None:
    assert not is_usable(sentence)


def test_near_copies_of_held_out_sentences_are_detected() -> None:
    held_out = HeldOutFilter(["Who can tell the secrets of their hearts and minds?"])
    assert held_out.resembles("who can tell the secrets of their hearts and minds")
    assert held_out.resembles("Who can tell the secrets of their hearts?")
    assert not held_out.resembles("Nobody knows the secrets of the sea.")


def test_each_word_occurs_once() -> None:
    words = ["marble", "window", "seldom", "horizon", "paper", "quick", "silver"]
    said = " ".join(word_coverage_phrases(words, random.Random(1))).lower()
    assert all(said.count(word) == 1 for word in words)


def test_agent_phrases_have_no_unfilled_slots() -> None:
    phrases = list(agent_phrases(500, random.Random(1)))
    assert not any("{" in phrase or "}" in phrase for phrase in phrases)
    assert any("1st" in phrase or "2nd" in phrase or "3rd" in phrase for phrase in phrases)
    assert "Sure, one moment." in short_answers()


def test_short_utterances_are_usable_and_differ_in_punctuation() -> None:
    made = list(short_utterances())
    assert all(is_usable(text) for text in made)
    assert {"OK.", "OK!", "OK?", "Seven."} <= set(made)
    assert len(made) == len(set(made))


def test_each_single_word_is_an_utterance() -> None:
    words = ["marble", "window", "seldom", "horizon"]
    made = list(single_words(words, random.Random(1)))
    assert [text.lower().strip(".!?") for text in made[:4]] == words
    assert len(made) == 6


def test_similar_clauses_are_usable_lists() -> None:
    made = list(similar_clauses(200, random.Random(1)))
    assert all(text.count(",") >= 2 and "{" not in text for text in made)
    assert sum(is_usable(text) for text in made) > 100  # some are too long


def test_article_fits_the_word_after_it() -> None:
    filled = {_fill_slots("there is a {adjective} {noun}", "we", random.Random(seed)) for seed in range(300)}
    assert any(text.startswith("there is an old ") for text in filled)
    assert not any(" a old " in text or " an long " in text for text in filled)


def test_every_third_word_list_is_of_numbers() -> None:
    made = list(word_lists(["marble", "window"], 9, random.Random(1)))
    numbers = [set(text.lower().strip(".").replace(",", " ").split()) - {"and", "or"} for text in made[::3]]
    assert all(words <= set(NUMBERS.split()) for words in numbers)
    assert all("marble" in text.lower() or "window" in text.lower() for text in made[1::3])


def test_attributions_are_removed(tmp_path: Path) -> None:
    (tmp_path / "wise").write_text("Know thyself. It\nis hard.\n\t\t-- Somebody\n%\nQ:  Why?\n%\n")
    (tmp_path / "wise.dat").write_text("no text")
    assert list(fortunes(tmp_path)) == ["Know thyself.", "It is hard.", "Why?"]


def test_docstrings_are_extracted_without_code(tmp_path: Path) -> None:
    (tmp_path / "module.py").write_text('"""A module of great use. It says x = 1."""\n\ndef f(): "Do it. Then rest."\n')
    (tmp_path / "broken.py").write_text("def")
    assert list(documentation(tmp_path)) == ["A module of great use.", "Do it.", "Then rest."]
    assert list(sentences("See `this`.")) == []

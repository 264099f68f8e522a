"""Selection and normalization of training sentences."""

import random
from pathlib import Path

import pytest

from training.data.text import HeldOutFilter, is_usable, normalize_for_model
from training.data.text_phrases import agent_phrases, short_answers, word_coverage_phrases
from training.data.text_sources import documentation, fortunes, sentences


def test_numbers_are_normalized_to_words() -> None:
    assert normalize_for_model("it costs 12 dollars") == "It costs twelve dollars."


def test_text_without_words_is_rejected() -> None:
    assert normalize_for_model("...") is None


@pytest.mark.parametrize(
    "sentence", ["Yes.", "I am looking for an honest man.", "Well, why not?", 'He said "maybe" and left.']
)
def test_plain_english_is_usable(sentence: str) -> None:
    assert is_usable(sentence)


@pytest.mark.parametrize(
    "sentence",
    [
        "The TCP stack.", "No end", "Xqzzt is no word.", "Call foo.bar now.", "He said 'maybe.", "H a l.",
        "One. Two.", "A " + "very " * 16 + "long one.", "Straße und Weg.", '"Open.',
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


def test_attributions_are_removed(tmp_path: Path) -> None:
    (tmp_path / "wise").write_text("Know thyself. It\nis hard.\n\t\t-- Somebody\n%\nQ:  Why?\n%\n")
    (tmp_path / "wise.dat").write_text("no text")
    assert list(fortunes(tmp_path)) == ["Know thyself.", "It is hard.", "Why?"]


def test_docstrings_are_extracted_without_code(tmp_path: Path) -> None:
    (tmp_path / "module.py").write_text('"""A module of great use. It says x = 1."""\n\ndef f(): "Do it. Then rest."\n')
    (tmp_path / "broken.py").write_text("def")
    assert list(documentation(tmp_path)) == ["A module of great use.", "Do it.", "Then rest."]
    assert list(sentences("See `this`.")) == []

"""training/text*.py: what is worth speaking, as the engine writes it, and nothing of what judges the model."""

import random
from pathlib import Path

import pytest

from training.data.text import HeldOut, is_worth_speaking, written_for_model
from training.data.text_phrases import agents, of_words, short_answers
from training.data.text_sources import documentation, fortunes, sentences


def test_numbers_become_words() -> None:
    assert written_for_model("it costs 12 dollars") == "It costs twelve dollars."


def test_two_utterances_are_none() -> None:
    assert written_for_model("...") is None


@pytest.mark.parametrize(
    "sentence", ["Yes.", "I am looking for an honest man.", "Well, why not?", 'He said "maybe" and left.']
)
def test_plain_english_is_spoken(sentence: str) -> None:
    assert is_worth_speaking(sentence)


@pytest.mark.parametrize(
    "sentence",
    [
        "The TCP stack.", "No end", "Xqzzt is no word.", "Call foo.bar now.", "He said 'maybe.", "H a l.",
        "One. Two.", "A " + "very " * 16 + "long one.", "Straße und Weg.", '"Open.',
    ],
)  # fmt: skip
def test_what_flite_would_guess_at_is_not(sentence: str) -> None:
    assert not is_worth_speaking(sentence)


def test_near_copies_of_judging_sentences_are_found() -> None:
    held_out = HeldOut(["Who can tell the secrets of their hearts and minds?"])
    assert held_out.resembles("who can tell the secrets of their hearts and minds")
    assert held_out.resembles("Who can tell the secrets of their hearts?")
    assert not held_out.resembles("Nobody knows the secrets of the sea.")


def test_each_word_is_said_once() -> None:
    words = ["marble", "window", "seldom", "horizon", "paper", "quick", "silver"]
    said = " ".join(of_words(words, random.Random(1))).lower()
    assert all(said.count(word) == 1 for word in words)


def test_agents_leave_nothing_to_fill_in() -> None:
    phrases = list(agents(500, random.Random(1)))
    assert not any("{" in phrase or "}" in phrase for phrase in phrases)
    assert any("1st" in phrase or "2nd" in phrase or "3rd" in phrase for phrase in phrases)
    assert "Sure, one moment." in short_answers()


def test_authors_and_speakers_are_left_out(tmp_path: Path) -> None:
    (tmp_path / "wise").write_text("Know thyself. It\nis hard.\n\t\t-- Somebody\n%\nQ:  Why?\n%\n")
    (tmp_path / "wise.dat").write_text("no text")
    assert list(fortunes(tmp_path)) == ["Know thyself.", "It is hard.", "Why?"]


def test_docstrings_are_read_and_code_is_not(tmp_path: Path) -> None:
    (tmp_path / "module.py").write_text('"""A module of great use. It says x = 1."""\n\ndef f(): "Do it. Then rest."\n')
    (tmp_path / "broken.py").write_text("def")
    assert list(documentation(tmp_path)) == ["A module of great use.", "Do it.", "Then rest."]
    assert list(sentences("See `this`.")) == []

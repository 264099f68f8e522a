"""Alignment of tokens with words."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sayline_tts.engine.models.model import Model
from sayline_tts.engine.text.chunk import TextChunk, Word
from sayline_tts.engine.text.model_text import prepare
from sayline_tts.engine.text.word_ids import word_ids


def words(*spoken: str) -> list[Word]:
    return [Word(each, 0, 0, each) for each in spoken]


def test_token_belongs_to_the_word_of_its_first_letter() -> None:
    text = "Five dollars, please."
    offsets = [(0, 4), (4, 12), (12, 13), (13, 17), (17, 20), (20, 21)]  # Five| dollars|,| ple|ase|.
    assert word_ids(words("five dollars,", "please."), text, offsets) == (0, 0, 0, 1, 1, 1)


def test_leading_spaces_and_punctuation_belong_to_the_first_word() -> None:
    assert word_ids(words('"Yes."'), '        "Yes."', [(0, 8), (8, 9), (9, 12), (12, 14)]) == (0, 0, 0, 0)


def test_token_across_two_words_belongs_to_the_first() -> None:
    assert word_ids(words("a", "b"), "a b", [(0, 3)]) == (0,)


def test_words_that_are_not_in_the_text_have_no_ids() -> None:
    assert word_ids(words("one", "two"), "One.", [(0, 4)]) == ()
    assert word_ids([], "", []) == ()


@given(st.lists(st.sampled_from(["it's", "“so”", "7", "well;", "-", "naïve", "U.S.", "go!"]), min_size=1, max_size=8))
def test_every_speakable_word_has_a_token(model: Model, spoken: list[str]) -> None:
    chunk = TextChunk.from_words(words(*spoken))
    if not any(map(str.isalnum, chunk.spoken)):
        return
    text = prepare(chunk.spoken, model.text_rules)
    found = word_ids(chunk.words, text, model.tokenizer.offsets(text))
    assert len(found) == len(model.tokenizer.encode(text))
    assert list(found) == sorted(found)
    assert {index for index, word in enumerate(spoken) if any(map(str.isalnum, word))} <= {*found}


@pytest.mark.parametrize("text", ["Hello there.", "Ünïcode 🙂 is fine.", "  Blanks   before. "])
def test_token_offsets_cover_the_text(model: Model, text: str) -> None:
    offsets = model.tokenizer.offsets(text)
    assert len(offsets) == len(model.tokenizer.encode(text))
    assert "".join(text[start:end] for start, end in offsets).split() == text.split()

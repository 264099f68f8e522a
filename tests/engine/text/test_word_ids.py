"""engine/text/word_ids.py: tokens find their words, however the model wants its text written."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sayline_tts.engine.models.model import Model
from sayline_tts.engine.text.chunk import Passage, Word
from sayline_tts.engine.text.model_text import prepare
from sayline_tts.engine.text.word_ids import owners


def words(*spoken: str) -> list[Word]:
    return [Word(each, 0, 0, each) for each in spoken]


def test_each_token_belongs_to_the_word_whose_first_letter_it_holds() -> None:
    text = "Five dollars, please."
    spans = [(0, 4), (4, 12), (12, 13), (13, 17), (17, 20), (20, 21)]  # Five| dollars|,| ple|ase|.
    assert owners(words("five dollars,", "please."), text, spans) == (0, 0, 0, 1, 1, 1)


def test_blanks_and_marks_before_the_first_letter_belong_to_the_first_word() -> None:
    assert owners(words('"Yes."'), '        "Yes."', [(0, 8), (8, 9), (9, 12), (12, 14)]) == (0, 0, 0, 0)


def test_a_token_across_two_words_belongs_to_the_first() -> None:
    assert owners(words("a", "b"), "a b", [(0, 3)]) == (0,)


def test_where_letters_are_missing_nobody_knows() -> None:
    assert owners(words("one", "two"), "One.", [(0, 4)]) == ()
    assert owners([], "", []) == ()


@given(st.lists(st.sampled_from(["it's", "“so”", "7", "well;", "-", "naïve", "U.S.", "go!"]), min_size=1, max_size=8))
def test_with_a_real_tokenizer_every_word_that_has_a_letter_has_a_token(model: Model, said: list[str]) -> None:
    passage = Passage.of(words(*said))
    if not any(map(str.isalnum, passage.spoken)):
        return
    text = prepare(passage.spoken, model.text_rules)
    found = owners(passage.words, text, model.tokenizer.spans(text))
    assert len(found) == len(model.tokenizer.encode(text))
    assert list(found) == sorted(found)
    assert {index for index, word in enumerate(said) if any(map(str.isalnum, word))} <= {*found}


@pytest.mark.parametrize("text", ["Hello there.", "Ünïcode 🙂 is fine.", "  Blanks   before. "])
def test_spans_say_where_each_token_was_written(model: Model, text: str) -> None:
    spans = model.tokenizer.spans(text)
    assert len(spans) == len(model.tokenizer.encode(text))
    assert "".join(text[start:end] for start, end in spans).split() == text.split()

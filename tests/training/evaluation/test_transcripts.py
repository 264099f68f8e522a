"""Word errors that depend on the sound and not on the spelling."""

import pytest

from training.evaluation.transcripts import longest_gap, normalized_words, word_errors


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("The harbour is grey.", "the harbor is gray"),
        ("My neighbours realised it.", "My neighbors realized it."),
        ("We travelled to the theatre.", "we traveled to the theater"),
        ("He was born in eighteen fifty.", "He was born in 1850."),
        ("Call eight seven two.", "Call 8, 7, 2."),
        ("It is four twenty.", "It is 4:20."),
        ("It costs one hundred and five dollars.", "It costs $105."),
        ("A hundred people.", "100 people"),
        ("Five, a hundred.", "5, 100"),
        ("Two thousand and five.", "2,005"),
        ("Twenty percent.", "20%"),
        ("The first of May.", "The 1st of May."),
        ("Okay.", "OK!"),
    ],
)
def test_spellings_and_number_formats_are_equal(one: str, other: str) -> None:
    assert normalized_words(one) == normalized_words(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("No one came.", "No two came."),
        ("Fifty.", "Fifteen."),
        ("The first.", "The one."),
        ("A cat and one dog.", "A dog."),
    ],
)
def test_different_words_stay_different(one: str, other: str) -> None:
    assert normalized_words(one) != normalized_words(other)


def test_conjunctions_outside_numbers_are_kept() -> None:
    assert normalized_words("bread and a half of one") == ["bread", "and", "a", "half", "of", "1"]


def test_compound_is_no_error() -> None:
    assert word_errors(["junk", "mail", "came"], ["junkmail", "came"]) == 0
    assert word_errors(["junkmail", "came"], ["junk", "mail", "came"]) == 0


def test_errors_are_substitutions_deletions_and_insertions() -> None:
    assert word_errors(["a", "b", "c"], ["a", "x", "c"]) == 1
    assert word_errors(["a", "b", "c"], ["a", "c"]) == 1
    assert word_errors(["a", "c"], ["a", "b", "c"]) == 1
    assert word_errors([], ["a"]) == 1


def test_skipped_clause_is_a_gap() -> None:
    reference = normalized_words("We had bread, we had milk, we had tea.")
    assert longest_gap(reference, reference) == 0
    assert longest_gap(reference, normalized_words("We had bread, we had tea.")) == 3
    assert longest_gap(reference, normalized_words("We had bed, we had milk, we had tea.")) == 0
    assert longest_gap(reference, []) == 9

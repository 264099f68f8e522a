"""Word errors and the recognizer's language model."""

import pytest

pytest.importorskip("pocketsphinx", reason="the recogniser's wheel is not there (pip install pocketsphinx)")

from training.evaluation.asr_wer import most_missed_words, uniform_unigram_lm, word_error_rate, word_errors, words_of


def test_words_are_lower_case_without_punctuation() -> None:
    assert words_of('It\'s twenty-one, "Yes"!') == ["it's", "twenty", "one", "yes"]


def test_word_errors_count_substitutions_deletions_and_insertions() -> None:
    assert word_errors(["a", "b", "c"], ["a", "x", "c"]) == 1
    assert word_errors(["a", "b", "c"], ["a", "c"]) == 1
    assert word_errors(["a", "b", "c"], ["a", "b", "b", "c"]) == 1
    assert word_errors([], ["a"]) == 1
    assert word_errors(["a", "b"], []) == 2


def test_word_error_rate_is_weighted_by_words() -> None:
    assert word_error_rate(["Yes.", "One two three."], [["no"], ["one", "two", "three"]]) == 0.25


def test_most_missed_words() -> None:
    assert most_missed_words(["The cat.", "The dog."], [["cat"], ["dog"]]) == [("the", 2)]


def test_unigram_model_is_uniform() -> None:
    lines = uniform_unigram_lm(["no", "yes"]).splitlines()
    probabilities = [10 ** float(line.split()[0]) for line in lines if line.endswith(("no", "yes", "</s>"))]
    assert probabilities == pytest.approx([1 / 3] * 3, rel=1e-3)

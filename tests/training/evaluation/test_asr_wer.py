"""Counting what was misheard."""

import pytest

pytest.importorskip("pocketsphinx", reason="the recogniser's wheel is not there (pip install pocketsphinx)")

from training.evaluation.asr_wer import equal_words, most_common_mistakes, word_error_rate, word_errors, words_of


def test_words_are_compared_without_marks_and_capitals() -> None:
    assert words_of('It\'s twenty-one, "Yes"!') == ["it's", "twenty", "one", "yes"]


def test_errors_are_substitutions_deletions_and_insertions() -> None:
    assert word_errors(["a", "b", "c"], ["a", "x", "c"]) == 1
    assert word_errors(["a", "b", "c"], ["a", "c"]) == 1
    assert word_errors(["a", "b", "c"], ["a", "b", "b", "c"]) == 1
    assert word_errors([], ["a"]) == 1
    assert word_errors(["a", "b"], []) == 2


def test_the_rate_counts_words_not_sentences() -> None:
    assert word_error_rate(["Yes.", "One two three."], [["no"], ["one", "two", "three"]]) == 0.25


def test_mistakes_are_words_that_were_not_heard() -> None:
    assert most_common_mistakes(["The cat.", "The dog."], [["cat"], ["dog"]]) == [("the", 2)]


def test_of_own_words_all_are_equally_likely() -> None:
    lines = equal_words(["no", "yes"]).splitlines()
    chances = [10 ** float(line.split()[0]) for line in lines if line.endswith(("no", "yes", "</s>"))]
    assert chances == pytest.approx([1 / 3] * 3, rel=1e-3)

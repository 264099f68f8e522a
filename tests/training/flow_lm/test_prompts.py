"""training/flow_lm/prompts.py: who reads what, and who wins."""

from collections.abc import Sequence
from pathlib import Path

import pytest
import torch
from torch import Tensor

pytest.importorskip("pocketsphinx", reason="the recogniser's wheel is not there (pip install pocketsphinx)")

from training.flow_lm.prompts import ROUNDS, Contest, sentences_that_judge


class Told(Contest):
    """A candidate's word errors are its number; of many sentences the second best is better."""

    def __init__(self) -> None:
        super().__init__(None, Path(), ["A sentence."] * ROUNDS[-1][1])  # type: ignore[arg-type]
        self.read: list[tuple[int, int]] = []

    def _word_errors(self, prompt: Tensor, texts: Sequence[str]) -> float:
        number = int(prompt)
        self.read.append((number, len(texts)))
        return abs(number - 1.1) if len(texts) == ROUNDS[-1][1] else float(number)


def test_the_best_of_a_first_round_read_more_and_the_best_of_these_wins() -> None:
    contest = Told()
    assert int(contest.winner([torch.tensor(number) for number in range(ROUNDS[0][0])])) == 1
    assert [number for number, texts in contest.read if texts == ROUNDS[1][1]] == list(range(ROUNDS[1][0]))


def test_only_sentences_that_no_training_saw_judge() -> None:
    sentences = [f"This is the sentence of number {number}." for number in range(203)]
    assert sorted(sentences_that_judge(sentences)) == sorted(sentences[at] for at in (0, 101, 202))
    assert sentences_that_judge(["Too short."]) == []

"""Selection of voice prompts by word errors."""

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from training.flow_lm.select_prompts import ROUNDS, PromptSelector, selection_sentences


class FakeSelector(PromptSelector):
    """A candidate's word errors are its number; of many sentences the second best is better."""

    def __init__(self) -> None:
        super().__init__(None, None, Path(), ["A sentence."] * ROUNDS[-1][1])  # type: ignore[arg-type]
        self.read: list[tuple[int, int]] = []

    def _word_error_rate(self, prompt: Tensor, texts: Sequence[str]) -> float:
        number = int(prompt)
        self.read.append((number, len(texts)))
        return abs(number - 1.1) if len(texts) == ROUNDS[-1][1] else float(number)


def test_best_candidates_of_the_first_round_read_more_sentences() -> None:
    selector = FakeSelector()
    assert int(selector.select([torch.tensor(number) for number in range(ROUNDS[0][0])])) == 1
    assert [number for number, texts in selector.read if texts == ROUNDS[1][1]] == list(range(ROUNDS[1][0]))


def test_selection_uses_only_validation_sentences() -> None:
    sentences = [f"This is the sentence of number {number}." for number in range(203)]
    assert sorted(selection_sentences(sentences)) == sorted(sentences[at] for at in (0, 101, 202))
    assert selection_sentences(["Too short."]) == []

"""Examples with incomplete text: neither the last words nor the end are in their speech."""

import random

import numpy as np
import pytest

from training.flow_lm.examples import LABELS_PER_FRAME, MAX_WORD_PHONES, Example
from training.flow_lm.text_prefixes import LOOKAHEAD_WORDS, known_text, prefix_example, random_prefix

WORDS, FRAMES_PER_WORD = 6, 4


@pytest.fixture
def example() -> Example:
    """Six words of four frames each, and silence after them."""
    words = np.append(np.repeat(np.arange(WORDS), FRAMES_PER_WORD), [-1, -1])
    frames = len(words)
    return Example(
        voice=0,
        sentence=0,
        latents=np.zeros((frames, 2), np.float16),
        phones=np.zeros((frames, LABELS_PER_FRAME), np.int64),
        words=words,
        word_phones=np.ones((WORDS, MAX_WORD_PHONES), np.int64),
        end=frames - 2,
    )


def test_last_words_are_not_spoken(example: Example) -> None:
    part = prefix_example(example, words=4, lookahead=2)
    assert part is not None
    assert part.words.tolist() == [0] * 4 + [1] * 4
    assert len(part.word_phones) == 4
    assert part.end == part.frames
    assert known_text("one two, three four five six.", part) == "one two, three four"


def test_pause_at_the_end_has_the_next_word(example: Example) -> None:
    example.words[6:8] = -1
    part = prefix_example(example, words=4, lookahead=2)
    assert part is not None
    assert part.words.tolist() == [0] * 4 + [1] * 2 + [2] * 2


def test_prefix_without_speech_is_none(example: Example) -> None:
    assert prefix_example(example, words=2, lookahead=2) is None


def test_random_prefix_keeps_words_ahead(example: Example) -> None:
    parts = [random_prefix(example, random.Random(seed)) for seed in range(50)]
    assert any(part.known_words for part in parts)
    for part in parts:
        assert part.known_words is None or part.words.max() < part.known_words - LOOKAHEAD_WORDS[0]


def test_complete_text_is_unchanged(example: Example) -> None:
    assert known_text("one two.", example) == "one two."

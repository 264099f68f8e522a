"""Heads that follow the text are distinguished from those that do not."""

import numpy as np
import pytest

from sayline_tts.engine.checkpoint.alignment_heads import AlignmentHeads
from sayline_tts.engine.models.model import Model
from sayline_tts.engine.timing.head_finder import find_heads, path_share, rank

WORDS, FRAMES = 8, 40
EVERY = [(layer, head) for layer in range(3) for head in range(4)]


def following(sharpness: float) -> np.ndarray:
    """Attention that moves evenly over the words, `[frames, words]`."""
    at = np.clip(np.arange(FRAMES) * WORDS / FRAMES, 0, WORDS - 1)
    scores = sharpness * -np.abs(np.arange(WORDS) - at[:, None])
    return np.asarray(np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True))


def unrelated(rng: np.random.Generator) -> np.ndarray:
    return rng.dirichlet(np.ones(WORDS), FRAMES)


def heads(rng: np.random.Generator, given: dict[int, np.ndarray]) -> np.ndarray:
    """Attention of all heads, unrelated to the text where none is given."""
    return np.stack([given.get(index, unrelated(rng)) for index in range(len(EVERY))])


def test_path_share_is_high_only_for_attention_that_follows_the_text() -> None:
    rng = np.random.default_rng(0)
    one_by_one = np.repeat(np.eye(WORDS), FRAMES // WORDS, axis=0)
    assert path_share(one_by_one) == pytest.approx(1)
    assert path_share(one_by_one[::-1]) < 0.3
    assert path_share(unrelated(rng)) < 0.4
    assert path_share(np.eye(WORDS)[:3]) == 0, "no path reaches the last word"


def test_following_head_is_ranked_first() -> None:
    rng = np.random.default_rng(1)
    found = rank(EVERY, [heads(rng, {6: following(4.0)}) for _ in range(3)])
    assert found.heads == AlignmentHeads(((1, 2),))
    assert found.confident
    assert found.ranking[0][0] == (1, 2)
    assert len(found.ranking) == len(EVERY)


def test_ranking_is_not_confident_if_no_head_follows() -> None:
    rng = np.random.default_rng(3)
    assert not rank(EVERY, [heads(rng, {}) for _ in range(6)]).confident


def test_all_heads_of_a_model_are_ranked(model: Model) -> None:
    found = find_heads(model, model.load_voice("clara"), ["It is late."])
    shape = model.config.flow_lm.transformer
    assert sorted(head for head, _ in found.ranking) == [
        (layer, head) for layer in range(shape.num_layers) for head in range(shape.num_heads)
    ]
    assert 0 <= found.score <= 1

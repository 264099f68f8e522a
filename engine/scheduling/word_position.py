"""Which word of a segment is being spoken, by the attention of the alignment heads over its text."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

SKIPPED_WEIGHT = 1e-3  # with less attention than this a word is not being spoken: any later one may follow it
MISSED_MASS = 0.1  # frames: a word that has had less attention in all when the voice is beyond it was not spoken


def is_missed(mass: float) -> bool:
    """Return whether a word was left out, given all the attention that it had until a later one was spoken."""
    return bool(mass < MISSED_MASS)


def following_word(weights: np.ndarray, word: int, with_tokens: np.ndarray) -> int | None:
    """Return the word that has taken over from `word` (-1: none has begun), or None if none has.

    `weights`: attention by words. `with_tokens`: the words that can be attended to, ascending.
    """
    later = with_tokens[np.searchsorted(with_tokens, word, side="right") :]
    if not len(later):
        return None
    if word < 0 or weights[later[0]] > weights[word]:
        return int(later[0])
    heaviest = int(later[weights[later].argmax()])
    return heaviest if weights[word] < SKIPPED_WEIGHT and weights[heaviest] > weights[word] else None


def word_reached(attention: np.ndarray, word_ids: Sequence[int], word: int) -> int:
    """Return the word that is being spoken, given the one at the last frame. Attention `[tokens]`."""
    ids = np.asarray(word_ids)
    weights, with_tokens = np.bincount(ids, attention), np.unique(ids)
    while (following := following_word(weights, word, with_tokens)) is not None:
        word = following
    return word


@dataclass(frozen=True, slots=True)
class WordLimit:
    """How far the voice may go in a text that is still growing."""

    word_ids: tuple[int, ...]  # for each token the index of its word
    word: int  # the one at the last frame; -1: none yet
    last: int  # the last one that may begin

    def reached(self, attention: np.ndarray) -> int:
        """Return the word of the frame with this attention `[tokens]`."""
        return word_reached(attention, self.word_ids, self.word)

    def exceeded(self, attention: np.ndarray) -> bool:
        """Return whether the frame with this attention `[tokens]` belongs to a word that may not begin yet."""
        return self.reached(attention) > self.last

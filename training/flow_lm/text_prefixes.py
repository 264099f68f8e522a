"""Training examples with incomplete text: the first words of a text, and the speech of all but the last of them.

They teach FlowLM to begin to speak before its text is complete: without an end of speech, while some words are still
ahead. The engine does not make use of it.
"""

import random
from dataclasses import replace

import numpy as np

from training.flow_lm.examples import Example, fill_pauses

LOOKAHEAD_WORDS = (2, 5)  # range of the number of words in the text that are not spoken yet
MIN_FRAMES = 4


def prefix_example(example: Example, words: int, lookahead: int) -> Example | None:
    """The first `words` words, without the speech of the last `lookahead`; None if less than `MIN_FRAMES` remain."""
    later = np.flatnonzero(example.words >= words - lookahead)
    frames = int(later[0]) if len(later) else 0
    if frames < MIN_FRAMES:
        return None
    return replace(
        example,
        latents=example.latents[:frames],
        phones=example.phones[:frames],
        words=np.minimum(fill_pauses(example.words)[:frames], words - 1),  # a pause at the end has its next word too
        word_phones=example.word_phones[:words],
        end=frames,
        known_words=words,
    )


def random_prefix(example: Example, rng: random.Random) -> Example:
    """A random prefix of the example; the example itself if it is too short to have one."""
    words, lookahead = len(example.word_phones), rng.randint(*LOOKAHEAD_WORDS)
    if words <= LOOKAHEAD_WORDS[0] + 1:
        return example
    return prefix_example(example, rng.randint(min(lookahead + 1, words - 1), words - 1), lookahead) or example


def known_text(text: str, example: Example) -> str:
    """The part of an example's text that is input to the network."""
    return text if example.known_words is None else " ".join(text.split()[: example.known_words])

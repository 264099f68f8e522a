"""Finds the heads of a model that look at the word that is being spoken: `sayline calibrate`.

The model speaks a few sentences. A head that follows the text spreads its attention so that a path over the words,
which never goes back, gathers nearly all of it; a head that does something else does not. What the best such path
gathers, as a share, is the score.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from sayline_tts.engine.checkpoint.alignment_heads import AlignmentHeads
from sayline_tts.engine.models.flow_lm_state import Draws, FlowLMState, Opening
from sayline_tts.engine.models.model import Model
from sayline_tts.engine.models.voice import Voice
from sayline_tts.engine.text.chunk import Word

SENTENCES = (
    "The weather is fine today, so we walk along the river.",
    "Could you tell me when the next train leaves for the city?",
    "She opened the old wooden box, and there was nothing in it.",
    "My brother bought seven apples, three lemons and some bread.",
    "It was late when they came home, but nobody was tired.",
    "Please wait a moment while I look at your account.",
)
SURE = 0.5  # of the score; heads that do not follow the text reach about 0.3


@dataclass(frozen=True)
class Found:
    """All heads with their scores, from the best on."""

    ranking: tuple[tuple[tuple[int, int], float], ...]

    @property
    def heads(self) -> AlignmentHeads:
        """The best one: those behind it add nothing to what its path gathers."""
        return AlignmentHeads((self.ranking[0][0],))

    @property
    def score(self) -> float:
        return self.ranking[0][1]

    @property
    def sure(self) -> bool:
        return self.score >= SURE


def find_heads(model: Model, voice: Voice, sentences: Sequence[str] = SENTENCES) -> Found:
    """Speaks the sentences one after the other; some seconds each."""
    shape = model.config.flow_lm.transformer
    every = tuple((layer, head) for layer in range(shape.num_layers) for head in range(shape.num_heads))
    looks = [weights for text in sentences for weights in _speak(model, voice, text, AlignmentHeads(every))]
    return rank(every, looks)


def rank(heads: Sequence[tuple[int, int]], looks: Sequence[np.ndarray]) -> Found:
    """`looks`: of each sentence, how each head spread its attention `[heads, frames, words]`."""
    scores = [float(np.mean([path_share(look[number]) for look in looks])) for number in range(len(heads))]
    return Found(tuple(sorted(zip(heads, scores, strict=True), key=lambda each: -each[1])))


def path_share(weights: np.ndarray) -> float:
    """What the best path from the first word to the last gathers of attention `[frames, words]`, which adds up to 1
    in each frame. It goes on by one word at most.
    """
    best = np.full(weights.shape[1], -np.inf)
    best[0] = 0.0
    for frame in weights:
        best = frame + np.maximum(best, np.concatenate([[-np.inf], best[:-1]]))
    return max(0.0, float(best[-1])) / len(weights)


def _speak(model: Model, voice: Voice, text: str, heads: AlignmentHeads) -> Iterator[np.ndarray]:
    """`[heads, frames, words]`, or nothing where its tokens cannot be told apart."""
    segment = model.segment(text)
    words = tuple(Word(each, 0, 0, each) for each in text.split())
    of_tokens = np.array(model.owners(text, words))
    if not len(of_tokens):
        return
    by_word = np.eye(len(words), dtype=np.float32)[of_tokens]  # [tokens, words]
    state = FlowLMState(model.flow_lm, 1, heads, each_head=True)
    draws = Draws(torch.zeros(1, len(model.flow_lm.bos_emb)), [model.config.default_eos_threshold], [1])
    frames = []
    with torch.inference_mode():
        for frame in range(segment.max_frames):
            openings = [None if frame else Opening(voice, segment.tokens)]
            spoken = state.step([0], openings, draws, [len(segment.tokens)])
            if spoken.is_eos[0] and frame > len(words):
                break
            frames.append(spoken.attention[0] @ by_word)
    yield np.stack(frames, axis=1)

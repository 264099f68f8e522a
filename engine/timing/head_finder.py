"""Find a model's alignment heads, whose attention follows the word that is being spoken (`sayline calibrate`).

The model speaks a few sentences. The attention of a head that follows the text lies almost entirely on a path over the
words that never goes back; that of any other head does not. The share of attention on the best such path is the head's
score.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from sayline_tts.engine.checkpoint.alignment_heads import AlignmentHeads
from sayline_tts.engine.models.flow_lm_state import FlowLMState, Prompt, SamplingInputs
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
MIN_SCORE = 0.5  # heads that do not follow the text reach about 0.3


@dataclass(frozen=True)
class HeadRanking:
    """All heads with their scores, best first."""

    ranking: tuple[tuple[tuple[int, int], float], ...]

    @property
    def heads(self) -> AlignmentHeads:
        """The best head: averaging it with the next ones does not improve the path."""
        return AlignmentHeads((self.ranking[0][0],))

    @property
    def score(self) -> float:
        return self.ranking[0][1]

    @property
    def confident(self) -> bool:
        return self.score >= MIN_SCORE


def find_heads(model: Model, voice: Voice, sentences: Sequence[str] = SENTENCES) -> HeadRanking:
    """Speak the sentences one after the other, which takes some seconds each, and rank all heads."""
    shape = model.config.flow_lm.transformer
    every = tuple((layer, head) for layer in range(shape.num_layers) for head in range(shape.num_heads))
    attention = [weights for text in sentences for weights in _speak(model, voice, text, AlignmentHeads(every))]
    return rank(every, attention)


def rank(heads: Sequence[tuple[int, int]], attention: Sequence[np.ndarray]) -> HeadRanking:
    """Rank `heads` by their attention `[heads, frames, words]` in each sentence."""
    scores = [float(np.mean([path_share(weights[index]) for weights in attention])) for index in range(len(heads))]
    return HeadRanking(tuple(sorted(zip(heads, scores, strict=True), key=lambda each: -each[1])))


def path_share(weights: np.ndarray) -> float:
    """Return the share of attention `[frames, words]` on the best path from the first word to the last.

    The attention of each frame adds up to 1. The path advances by one word a frame at most.
    """
    best = np.full(weights.shape[1], -np.inf)
    best[0] = 0.0
    for frame in weights:
        best = frame + np.maximum(best, np.concatenate([[-np.inf], best[:-1]]))
    return max(0.0, float(best[-1])) / len(weights)


def _speak(model: Model, voice: Voice, text: str, heads: AlignmentHeads) -> Iterator[np.ndarray]:
    """Yield the attention `[heads, frames, words]`, or nothing if the words of its tokens are unknown."""
    segment = model.segment(text)
    words = tuple(Word(each, 0, 0, each) for each in text.split())
    of_tokens = np.array(model.word_ids(text, words))
    if not len(of_tokens):
        return
    by_word = np.eye(len(words), dtype=np.float32)[of_tokens]  # [tokens, words]
    state = FlowLMState(model.flow_lm, 1, heads, each_head=True)
    sampling = SamplingInputs(torch.zeros(1, len(model.flow_lm.bos_emb)), [model.config.default_eos_threshold], [1])
    frames = []
    with torch.inference_mode():
        for frame in range(segment.max_frames):
            prompts = [None if frame else Prompt(voice, segment.tokens)]
            output = state.step([0], prompts, sampling, [len(segment.tokens)])
            if output.is_eos[0] and frame > len(words):
                break
            frames.append(output.attention[0] @ by_word)
    yield np.stack(frames, axis=1)

"""Batches for FlowLM: rows of similar length, in groups of one voice that share a voice prompt.

A row consists of text, the start-of-speech embedding and latents. Tokens and frames of all rows are stored in flat
lists, and `source` maps each position of a row to its entry, so only attention operates on padding.
"""

import math
import random
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from training.flow_lm.examples import Example, fill_pauses
from training.flow_lm.text_prefixes import known_text, random_prefix
from training.trainer.device import batch_to_device

BUCKET_POSITIONS = 8  # maximum difference in length between the rows of a batch, if possible
AUGMENTED_RATIO = 1 / 3  # of the groups are of augmented speakers
PROMPT_FRAMES = (12, 125)  # 1 to 10 s, log-uniform: short prompts are more frequent


class Tokenize(Protocol):
    """Tokenize a text; `sample`: use a random segmentation instead of the best one."""

    def __call__(self, text: str, sample: bool) -> tuple[list[int], list[int]]:
        """Token ids, and the word index of each token."""


@dataclass(frozen=True, eq=False)
class Batch:
    prompts: Tensor  # [groups, prompt frames, dim], not normalized
    tokens: Tensor  # [tokens of all rows]
    latents: Tensor  # [frames of all rows, dim], not normalized
    first: Tensor  # [frames]: whether the frame is the first of its row
    row: Tensor  # [frames]: index of the frame's row
    source: Tensor  # [rows, length]: index into tokens, then into frames (the input is the previous one), then padding
    predictor: Tensor  # [frames]: flat index into [rows * length] of the position that predicts the frame
    ends: Tensor  # [frames]: 1 after the end of speech
    phones: Tensor  # [frames, labels]
    word_mask: Tensor  # [frames, length]: the tokens of the word spoken in the frame
    word_ends: Tensor  # [words of all rows]: flat index of each word's last token
    word_phones: Tensor  # [words, phones]


def make_batch(groups: Sequence[Sequence[Example]], prompts: Sequence[np.ndarray], texts: Sequence[str],
               tokenize: Tokenize, sample: bool) -> Batch:  # fmt: skip
    """Build a batch. `groups`: examples of one voice each, of equal count; `texts`: by sentence index."""
    examples = [example for group in groups for example in group]
    tokenized = [tokenize(known_text(texts[example.sentence], example), sample) for example in examples]
    length = max(len(ids) + example.frames for (ids, _), example in zip(tokenized, examples, strict=True))
    total_tokens = sum(len(ids) for ids, _ in tokenized)
    total_frames = sum(example.frames for example in examples)
    source = np.full((len(examples), length), total_tokens + total_frames)
    word_mask = np.zeros((total_frames, length), dtype=bool)
    predictor, word_ends, word_phones = [], [], []
    token, frame = 0, 0
    for row, ((ids, words), example) in enumerate(zip(tokenized, examples, strict=True)):
        frames = example.frames
        source[row, : len(ids)] = np.arange(token, token + len(ids))
        source[row, len(ids) : len(ids) + frames] = total_tokens + np.arange(frame, frame + frames)
        predictor.append(row * length + len(ids) + np.arange(frames))
        token_words = np.array(words)
        word_mask[frame : frame + frames, : len(ids)] = fill_pauses(example.words)[:, None] == token_words
        last = np.flatnonzero(np.append(np.diff(token_words), 1))  # the last token of each word
        word_ends.append(row * length + last)
        word_phones.append(example.word_phones[np.minimum(token_words[last], len(example.word_phones) - 1)])
        token, frame = token + len(ids), frame + frames
    firsts = np.cumsum([0, *(example.frames for example in examples)])[:-1]
    first = np.zeros(total_frames, dtype=bool)
    first[firsts] = True
    ends = [np.arange(example.frames) >= example.end for example in examples]
    return Batch(
        prompts=torch.from_numpy(np.stack(prompts)).float(),
        tokens=torch.tensor([id for ids, _ in tokenized for id in ids], device="cpu"),
        latents=torch.from_numpy(np.concatenate([example.latents for example in examples])).float(),
        first=torch.from_numpy(first),
        row=torch.from_numpy(np.repeat(np.arange(len(examples)), [example.frames for example in examples])),
        source=torch.from_numpy(source),
        predictor=torch.from_numpy(np.concatenate(predictor)),
        ends=torch.from_numpy(np.concatenate(ends)).float(),
        phones=torch.from_numpy(np.concatenate([example.phones for example in examples])),
        word_mask=torch.from_numpy(word_mask),
        word_ends=torch.from_numpy(np.concatenate(word_ends)),
        word_phones=torch.from_numpy(np.concatenate(word_phones)),
    )


def _sample(rng: random.Random, population: Sequence[int], count: int) -> list[int]:
    """Sample without replacement if the population is large enough, otherwise with it."""
    return rng.sample(population, count) if len(population) >= count else rng.choices(population, k=count)


class BatchSampler:
    """Draws random batches from examples of several voices; deterministic for a seed.

    The first `groups` voices are the model's own; augmented speakers replace some of them in each batch.
    """

    def __init__(
        self, examples: Sequence[Example], texts: Sequence[str], tokenize: Tokenize, positions: int, groups: int
    ) -> None:
        self._texts, self._tokenize, self._positions = texts, tokenize, positions
        self._by_voice: dict[int, list[Example]] = defaultdict(list)
        for example in examples:
            self._by_voice[example.voice].append(example)
        self._groups = groups
        self._lengths = {voice: self._sorted(voice) for voice in self._by_voice}

    def _sorted(self, voice: int) -> np.ndarray:
        """Sort a voice's examples by row length, and return the lengths."""
        lengths = [self._length(example) for example in self._by_voice[voice]]
        order = np.argsort(lengths, kind="stable")
        self._by_voice[voice] = [self._by_voice[voice][index] for index in order]
        return np.array(lengths)[order]

    def _length(self, example: Example) -> int:
        return len(self._tokenize(self._texts[example.sentence], False)[0]) + example.frames

    def draw(self, rng: random.Random, sample_ratio: float = 0.0, prefix_ratio: float = 0.0) -> Batch:
        """Draw a batch. `sample_ratio`: probability that its texts get random segmentations.

        `prefix_ratio`: probability that its texts are incomplete.
        """
        own = [voice for voice in self._by_voice if voice < self._groups]
        augmented_voices = [voice for voice in self._by_voice if voice >= self._groups]
        chosen = [
            rng.choice(augmented_voices) if augmented_voices and rng.random() < AUGMENTED_RATIO else voice
            for voice in _sample(rng, own, self._groups)
        ]
        length = rng.choice(self._lengths[chosen[0]].tolist())
        members = max(1, round(self._positions / (length + BUCKET_POSITIONS / 2) / self._groups))
        groups = [self._of_length(rng, voice, length, members) for voice in chosen]
        if rng.random() < prefix_ratio:
            groups = [[random_prefix(example, rng) for example in group] for group in groups]
        frames = round(math.exp(rng.uniform(*map(math.log, PROMPT_FRAMES))))
        prompts = [self._prompt(rng, voice, frames) for voice in chosen]
        batch = make_batch(groups, prompts, self._texts, self._tokenize, rng.random() < sample_ratio)
        return batch_to_device(batch)

    def _of_length(self, rng: random.Random, voice: int, length: int, members: int) -> list[Example]:
        """Random examples whose rows have about this length."""
        lengths, examples = self._lengths[voice], self._by_voice[voice]
        low, high = np.searchsorted(lengths, [length - BUCKET_POSITIONS // 2, length + BUCKET_POSITIONS // 2])
        missing = max(0, members - int(high - low))
        low, high = max(0, int(low) - missing), min(len(examples), int(high) + missing)
        return [examples[index] for index in _sample(rng, range(low, high), members)]

    def _prompt(self, rng: random.Random, voice: int, frames: int) -> np.ndarray:
        """Latents of a voice prompt `[frames, dim]`: the end of some utterances, since prompts end on a pause."""
        parts: list[np.ndarray] = []
        while sum(map(len, parts)) < frames:
            parts.insert(0, rng.choice(self._by_voice[voice]).latents)
        return np.concatenate(parts)[-frames:]

"""Batches for FlowLM: rows of like length, a few groups of one voice each behind a common voice prompt.

A row is text, the mark where speech begins, latents. What a row is made of lies in flat lists (all tokens, all frames),
and `source` says where each of its positions comes from: nothing but attention ever sees padding.
"""

import random
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from training.flow_lm.flow_clips import Clip

BUCKET_POSITIONS = 8  # rows of a batch differ by fewer than this in length, as far as possible
STRANGE = 1 / 3  # of the groups are of voices that are not the model's own
PROMPT_FRAMES = (14, 75)  # 1.1 to 6 s


class Pieces(Protocol):
    """What a text becomes; `sample`: cut in one of the many ways there are, not the best."""

    def __call__(self, text: str, sample: bool) -> tuple[list[int], list[int]]:
        """Token ids, and for each token the word that it is of."""


@dataclass(frozen=True, eq=False)
class Batch:
    prompts: Tensor  # [groups, prompt frames, dim], the codec's scale
    tokens: Tensor  # [tokens of all rows]
    latents: Tensor  # [frames of all rows, dim], the codec's scale
    first: Tensor  # [frames]: is it its row's first?
    row: Tensor  # [frames]: which row it is of
    source: Tensor  # [rows, length]: index into tokens, then frames (the one before), then nothing
    speaks: Tensor  # [frames]: flat index into [rows * length] of the position that says this frame
    ends: Tensor  # [frames]: 1 where speech is over
    phones: Tensor  # [frames, parts]
    focus: Tensor  # [frames, length]: may be looked at while this frame is said: the tokens of its word
    word_ends: Tensor  # [words of all rows]: flat index of each word's last token
    word_phones: Tensor  # [words, phones]


def make_batch(groups: Sequence[Sequence[Clip]], prompts: Sequence[np.ndarray], texts: Sequence[str],
               pieces: Pieces, sample: bool) -> Batch:  # fmt: skip
    """`groups`: clips of one voice each, equally many; `texts`: by sentence."""
    clips = [clip for group in groups for clip in group]
    cut = [pieces(texts[clip.sentence], sample) for clip in clips]
    length = max(len(ids) + clip.frames for (ids, _), clip in zip(cut, clips, strict=True))
    tokens_in_all = sum(len(ids) for ids, _ in cut)
    frames_in_all = sum(clip.frames for clip in clips)
    source = np.full((len(clips), length), tokens_in_all + frames_in_all)
    focus = np.zeros((frames_in_all, length), dtype=bool)
    speaks, word_ends, word_phones = [], [], []
    token, frame = 0, 0
    for row, ((ids, words), clip) in enumerate(zip(cut, clips, strict=True)):
        said = clip.frames
        source[row, : len(ids)] = np.arange(token, token + len(ids))
        source[row, len(ids) : len(ids) + said] = tokens_in_all + np.arange(frame, frame + said)
        speaks.append(row * length + len(ids) + np.arange(said))
        of_word = np.array(words)
        focus[frame : frame + said, : len(ids)] = _known_words(clip.words)[:, None] == of_word
        last = np.flatnonzero(np.append(np.diff(of_word), 1))  # the last token of each word
        word_ends.append(row * length + last)
        word_phones.append(clip.word_phones[np.minimum(of_word[last], len(clip.word_phones) - 1)])
        token, frame = token + len(ids), frame + said
    firsts = np.cumsum([0, *(clip.frames for clip in clips)])[:-1]
    first = np.zeros(frames_in_all, dtype=bool)
    first[firsts] = True
    ends = [np.arange(clip.frames) >= clip.end for clip in clips]
    return Batch(
        prompts=torch.from_numpy(np.stack(prompts)).float(),
        tokens=torch.tensor([id for ids, _ in cut for id in ids]),
        latents=torch.from_numpy(np.concatenate([clip.latents for clip in clips])).float(),
        first=torch.from_numpy(first),
        row=torch.from_numpy(np.repeat(np.arange(len(clips)), [clip.frames for clip in clips])),
        source=torch.from_numpy(source),
        speaks=torch.from_numpy(np.concatenate(speaks)),
        ends=torch.from_numpy(np.concatenate(ends)).float(),
        phones=torch.from_numpy(np.concatenate([clip.phones for clip in clips])),
        focus=torch.from_numpy(focus),
        word_ends=torch.from_numpy(np.concatenate(word_ends)),
        word_phones=torch.from_numpy(np.concatenate(word_phones)),
    )


def _known_words(words: np.ndarray) -> np.ndarray:
    """The word of each frame; in a pause the one to come, at the end the last."""
    known = np.where(words < 0, words.max(), words)
    return np.minimum.accumulate(known[::-1])[::-1]


def _some(rng: random.Random, things: Sequence[int], count: int) -> list[int]:
    """Different ones, where there are enough."""
    return rng.sample(things, count) if len(things) >= count else rng.choices(things, k=count)


class Batches:
    """Draws batches without end from clips of several voices; the same seed draws the same ones.

    The first `groups` voices are the model's own. Others stand in for them now and then.
    """

    def __init__(
        self, clips: Sequence[Clip], texts: Sequence[str], pieces: Pieces, positions: int, groups: int
    ) -> None:
        self._texts, self._pieces, self._positions = texts, pieces, positions
        self._by_voice: dict[int, list[Clip]] = defaultdict(list)
        for clip in clips:
            self._by_voice[clip.voice].append(clip)
        self._groups = groups
        self._lengths = {voice: self._sorted(voice) for voice in self._by_voice}

    def _sorted(self, voice: int) -> np.ndarray:
        """Sorts a voice's clips by their rows' length, which it returns."""
        lengths = [self._length(clip) for clip in self._by_voice[voice]]
        order = np.argsort(lengths, kind="stable")
        self._by_voice[voice] = [self._by_voice[voice][at] for at in order]
        return np.array(lengths)[order]

    def _length(self, clip: Clip) -> int:
        return len(self._pieces(self._texts[clip.sentence], False)[0]) + clip.frames

    def draw(self, rng: random.Random, sample: float = 0.0) -> Batch:
        """`sample`: how likely the batch's texts are cut in another way than the best."""
        own = [voice for voice in self._by_voice if voice < self._groups]
        strangers = [voice for voice in self._by_voice if voice >= self._groups]
        chosen = [
            rng.choice(strangers) if strangers and rng.random() < STRANGE else voice
            for voice in _some(rng, own, self._groups)
        ]
        anchor = rng.choice(self._lengths[chosen[0]].tolist())
        members = max(1, round(self._positions / (anchor + BUCKET_POSITIONS / 2) / self._groups))
        groups = [self._near(rng, voice, anchor, members) for voice in chosen]
        frames = rng.randint(*PROMPT_FRAMES)
        prompts = [self._prompt(rng, voice, frames) for voice in chosen]
        return make_batch(groups, prompts, self._texts, self._pieces, rng.random() < sample)

    def _near(self, rng: random.Random, voice: int, length: int, members: int) -> list[Clip]:
        """Clips whose rows are about this long."""
        lengths, clips = self._lengths[voice], self._by_voice[voice]
        low, high = np.searchsorted(lengths, [length - BUCKET_POSITIONS // 2, length + BUCKET_POSITIONS // 2])
        short = max(0, members - int(high - low))
        low, high = max(0, int(low) - short), min(len(clips), int(high) + short)
        places = range(low, high)
        return [clips[at] for at in _some(rng, places, members)]

    def _prompt(self, rng: random.Random, voice: int, frames: int) -> np.ndarray:
        """The end of some speech of this voice, as prompts end on a pause; [frames, dim]."""
        parts: list[np.ndarray] = []
        while sum(map(len, parts)) < frames:
            parts.insert(0, rng.choice(self._by_voice[voice]).latents)
        return np.concatenate(parts)[-frames:]

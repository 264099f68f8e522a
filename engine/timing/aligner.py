"""When each word of a segment is spoken, by where the model looks and what is heard. Online: told frame by frame.

At each frame the model's alignment heads spread their attention over the tokens of the text. A word is over when the
next one outweighs it; that one begins with the first sound that is heard then. A word that the model leaves out gets a
moment without length; one that it says twice keeps its first place.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

SILENCE = 1e-3  # RMS of full scale: -60 dB
HOPS = 8  # of a frame; each is sound or silence
ABSENT = 1e-3  # with less attention than this a word is not being spoken: any later one may follow it


@dataclass(frozen=True, slots=True)
class Moment:
    """A word begins, or is over. `index` counts words of the segment."""

    index: int
    at_ms: float
    over: bool


class Aligner:
    """Of one segment. Every word begins once and is over once, in order, nothing before the frame that is told.

    `owners`: for each token the word that it belongs to. A word without one begins with the next that has one.
    Times are in ms of the utterance.
    """

    def __init__(self, words: int, owners: Sequence[int], start_ms: float, frame_ms: float, lead_ms: float) -> None:
        self._owners, self._words = np.asarray(owners), words
        self._seen = np.unique(self._owners)  # words that can be looked at
        self._end_ms, self._frame_ms, self._lead_ms = start_ms, frame_ms, lead_ms  # `_end_ms`: of the last frame
        self._looked_at = -1  # the word that was last looked at
        self._before: np.ndarray = np.zeros(words)  # attention at the last frame, by words
        self._due_ms: list[float] = []  # when words that were looked at may begin, from the first that has not
        self._begun = 0  # words
        self._begun_ms = start_ms  # the last of them
        self._over = 0  # words

    def step(self, attention: np.ndarray, pcm: np.ndarray) -> list[Moment]:
        """A frame more: attention `[tokens]`, sound `[samples]`. What begins or is over in it."""
        weights = np.bincount(self._owners, attention, self._words)
        self._look(weights)
        self._before = weights
        start_ms, self._end_ms = self._end_ms, self._end_ms + self._frame_ms
        return self._hear(start_ms, _audible(pcm))

    def finish(self) -> list[Moment]:
        """Nothing of this segment comes any more."""
        moments = self._close(self._end_ms)
        while self._begun < self._words:
            moments += [self._begin(self._end_ms), *self._close(self._end_ms)]
        return moments

    def _look(self, weights: np.ndarray) -> None:
        """Go on to later words, as far as attention does."""
        while (following := self._following(weights)) is not None:
            at_ms = self._crossing_ms(weights, self._looked_at, following)
            self._due_ms += [at_ms] * (following - self._looked_at)
            self._looked_at = following

    def _following(self, weights: np.ndarray) -> int | None:
        now = self._looked_at
        later = self._seen[np.searchsorted(self._seen, now, side="right") :]
        if not len(later):
            return None
        if now < 0 or weights[later[0]] > weights[now]:
            return int(later[0])
        heaviest = int(later[weights[later].argmax()])
        return heaviest if weights[now] < ABSENT and weights[heaviest] > weights[now] else None

    def _crossing_ms(self, weights: np.ndarray, from_word: int, to_word: int) -> float:
        """When the one began to outweigh the other: between the middles of the last frame and of this one."""
        if from_word < 0:
            return self._end_ms
        before = float(self._before[from_word] - self._before[to_word])
        now = float(weights[to_word] - weights[from_word])
        share = before / (before + now) if before > 0 else 0.0
        return self._end_ms + (share - 0.5) * self._frame_ms + self._lead_ms

    def _hear(self, start_ms: float, audible: np.ndarray) -> list[Moment]:
        """Words that are due begin with the first sound from then on, each where the one before it is over."""
        hop_ms = self._frame_ms / HOPS
        moments: list[Moment] = []
        while self._due_ms and self._due_ms[0] < self._end_ms:
            first = max(0, int((self._due_ms[0] - start_ms) / hop_ms))
            sounds = np.flatnonzero(audible[first:])
            if not len(sounds):
                self._due_ms[0] = self._end_ms
                moments += self._close(self._last_sound_ms(start_ms, audible[:first], hop_ms))
                break
            at_ms = max(self._begun_ms, start_ms + hop_ms * int(first + sounds[0]), self._due_ms.pop(0))
            # What was silent before it belongs to neither.
            moments += self._close(self._last_sound_ms(start_ms, audible[:first], hop_ms) if sounds[0] else at_ms)
            moments.append(self._begin(at_ms))
        if not audible.any() and self._begun == self._words:
            moments += self._close(start_ms)
        return moments

    def _begin(self, at_ms: float) -> Moment:
        self._begun, self._begun_ms = self._begun + 1, at_ms
        return Moment(self._begun - 1, at_ms, over=False)

    def _close(self, at_ms: float) -> list[Moment]:
        """The word that is being spoken is over, if one is."""
        if self._over == self._begun:
            return []
        self._over = self._begun
        return [Moment(self._begun - 1, max(at_ms, self._begun_ms), over=True)]

    @staticmethod
    def _last_sound_ms(start_ms: float, audible: np.ndarray, hop_ms: float) -> float:
        """Where the last sound ends; where there is none, the beginning."""
        sounds = np.flatnonzero(audible)
        return start_ms + hop_ms * (int(sounds[-1]) + 1 if len(sounds) else 0)


def _audible(pcm: np.ndarray) -> np.ndarray:
    """Of each hop, whether it is more than silence. One alone is a click, as decoders make when they begin."""
    parts = pcm.reshape(HOPS, -1)
    loud = np.einsum("ij,ij->i", parts, parts) / parts.shape[1] > SILENCE**2
    before, behind = np.append(False, loud[:-1]), np.append(loud[1:], True)  # the next frame is not there yet
    return np.asarray(loud & (before | behind))

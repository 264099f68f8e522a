"""Online alignment of a segment's words with its audio, frame by frame, by the model's attention.

At each frame the alignment heads spread their attention over the tokens of the text. A word ends when the next one
outweighs it; the next one begins with the first audible sound from then on. A word that the model skips gets zero
length and is marked as missed; one that it repeats keeps its first place.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from sayline_tts.engine.scheduling.word_position import following_word, is_missed

SILENCE_RMS = 1e-3  # of full scale: -60 dB
HOPS = 8  # a frame is divided into so many hops, each of which is audible or silent


@dataclass(frozen=True, slots=True)
class WordBoundary:
    """Begin or end of a word. `index` counts the words of the segment. `missed`: the word was not spoken."""

    index: int
    at_ms: float
    is_end: bool
    missed: bool = False


class Aligner:
    """Alignment of one segment. Each word begins once and ends once, in order, never before the current frame.

    `word_ids`: for each token the index of its word. A word without tokens begins with the next one that has some.
    `lead_ms`: how far attention runs ahead of the audio. Times are in ms of the utterance.
    """

    def __init__(self, words: int, word_ids: Sequence[int], start_ms: float, frame_ms: float, lead_ms: float) -> None:
        self._before: np.ndarray = np.zeros(words)  # attention at the last frame, by words
        self._mass: np.ndarray = np.zeros(words)  # attention of all frames
        self._set_text(words, word_ids)
        self._end_ms, self._frame_ms, self._lead_ms = start_ms, frame_ms, lead_ms  # `_end_ms`: of the last frame
        self._attended = -1  # the word that was last attended to
        self._due_ms: list[float] = []  # when attended words may begin, from the first that has not
        self._begun = 0  # words
        self._begun_ms = start_ms  # of the last of them
        self._ended = 0  # words

    def grow(self, words: int, word_ids: Sequence[int]) -> None:
        """Continue with a longer text. The words that have begun are the same as before."""
        self._set_text(words, word_ids)

    def step(self, attention: np.ndarray, pcm: np.ndarray) -> list[WordBoundary]:
        """Take in one frame: attention `[tokens]`, PCM `[samples]`. Returns the boundaries in it."""
        weights = np.bincount(self._word_ids, attention, self._words)
        self._mass += weights
        self._follow_attention(weights)
        self._before = weights
        start_ms, self._end_ms = self._end_ms, self._end_ms + self._frame_ms
        return self._follow_audio(start_ms, _audible(pcm))

    def finish(self) -> list[WordBoundary]:
        """End the segment. Returns all boundaries that are left."""
        boundaries = self._close(self._end_ms)
        self._attended = self._words  # whatever has not been attended to by now will not be
        while self._begun < self._words:
            boundaries += [self._begin(self._end_ms), *self._close(self._end_ms)]
        return boundaries

    def _set_text(self, words: int, word_ids: Sequence[int]) -> None:
        self._word_ids, self._words = np.asarray(word_ids, np.int64), words
        self._with_tokens = np.unique(self._word_ids)  # words that can be attended to
        self._before, self._mass = (
            np.pad(each, (0, max(0, words - len(each))))[:words] for each in (self._before, self._mass)
        )

    def _follow_attention(self, weights: np.ndarray) -> None:
        """Advance to later words as far as attention has."""
        while (following := self._following(weights)) is not None:
            at_ms = self._crossing_ms(weights, self._attended, following)
            self._due_ms += [at_ms] * (following - self._attended)
            self._attended = following

    def _following(self, weights: np.ndarray) -> int | None:
        """Return the word that has taken over from the one last attended to, if one has."""
        return following_word(weights, self._attended, self._with_tokens)

    def _crossing_ms(self, weights: np.ndarray, from_word: int, to_word: int) -> float:
        """Return when one word began to outweigh the other: between the middles of the last frame and of this one."""
        if from_word < 0:
            return self._end_ms
        before = float(self._before[from_word] - self._before[to_word])
        now = float(weights[to_word] - weights[from_word])
        share = before / (before + now) if before > 0 else 0.0
        return self._end_ms + (share - 0.5) * self._frame_ms + self._lead_ms

    def _follow_audio(self, start_ms: float, audible: np.ndarray) -> list[WordBoundary]:
        """Begin each due word with the first sound from then on, and end the one before it where its sound ends."""
        hop_ms = self._frame_ms / HOPS
        boundaries: list[WordBoundary] = []
        while self._due_ms and self._due_ms[0] < self._end_ms:
            first = max(0, int((self._due_ms[0] - start_ms) / hop_ms))
            sounds = np.flatnonzero(audible[first:])
            if not len(sounds):
                self._due_ms[0] = self._end_ms
                boundaries += self._close(self._last_sound_ms(start_ms, audible[:first], hop_ms))
                break
            at_ms = max(self._begun_ms, start_ms + hop_ms * int(first + sounds[0]), self._due_ms.pop(0))
            # Silence before the sound belongs to neither word.
            boundaries += self._close(self._last_sound_ms(start_ms, audible[:first], hop_ms) if sounds[0] else at_ms)
            boundaries.append(self._begin(at_ms))
        if not audible.any() and self._begun == self._words:
            boundaries += self._close(start_ms)
        return boundaries

    def _begin(self, at_ms: float) -> WordBoundary:
        self._begun, self._begun_ms = self._begun + 1, at_ms
        return WordBoundary(self._begun - 1, at_ms, is_end=False, missed=self._is_missed(self._begun - 1))

    def _is_missed(self, word: int) -> bool:
        """Return whether attention has passed over a word. One without tokens is spoken with the next."""
        return word in self._with_tokens and word < self._attended and is_missed(self._mass[word])

    def _close(self, at_ms: float) -> list[WordBoundary]:
        """End the word that is being spoken, if there is one."""
        if self._ended == self._begun:
            return []
        self._ended = self._begun
        return [WordBoundary(self._begun - 1, max(at_ms, self._begun_ms), is_end=True)]

    @staticmethod
    def _last_sound_ms(start_ms: float, audible: np.ndarray, hop_ms: float) -> float:
        """Return where the last sound ends; `start_ms` if there is none."""
        sounds = np.flatnonzero(audible)
        return start_ms + hop_ms * (int(sounds[-1]) + 1 if len(sounds) else 0)


def _audible(pcm: np.ndarray) -> np.ndarray:
    """Return for each hop whether it is louder than silence. A single loud hop is a decoder's click and not audible."""
    parts = pcm.reshape(HOPS, -1)
    loud = np.einsum("ij,ij->i", parts, parts) / parts.shape[1] > SILENCE_RMS**2
    before, behind = np.append(False, loud[:-1]), np.append(loud[1:], True)  # the next frame is unknown: assume sound
    return np.asarray(loud & (before | behind))

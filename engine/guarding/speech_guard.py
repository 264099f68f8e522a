"""Recognise faults of speech while it is being made: words passed over, said again, drawn out, or left at the end.

The guard sees what the alignment heads see: the attention of each frame over the text, and where speech ends. It keeps
one record a frame, so it can go back with the speech.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

import numpy as np

from sayline_tts.engine.scheduling.word_position import is_missed, word_reached

BACK_WEIGHT = 0.6  # with so much attention on an earlier word, the frame belongs to that word
BACK_FRAMES = 3  # fewer frames on an earlier word are a glance
LETTER_FRAMES = 0.55  # of a usual voice
LINGERING = 3.0  # a word that takes so many times as long as usual, and
LINGERING_FRAMES = 12  # so many frames more, is drawn out
REDO_FRAMES = 4  # before a fault that are made again too: what led to it lies in them


class FaultKind(Enum):
    SKIPPED = "skipped"  # words were passed over
    WENT_BACK = "went back"  # an earlier word is said again
    LINGERS = "lingers"  # a word does not end; if it is the last one, speech goes on after it
    ENDED_EARLY = "ended early"  # speech has ended without the last words


@dataclass(frozen=True, slots=True)
class Fault:
    """What is wrong at the newest frame. `words`: those that are lost if the speech stays as it is."""

    kind: FaultKind
    redo_from: int  # the first frame that has to be made again
    words: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True, eq=False)
class _Record:
    """The state after a frame."""

    word: int  # that is being spoken
    since: int  # frame in which it began
    mass: np.ndarray  # attention so far, by words
    back_frames: int  # frames in a row on an earlier word
    ended: bool  # speech has ended


class SpeechGuard:
    """Watches one closed segment. Frames are counted from `first_frame` on, the first that it sees.

    `letters`: of each word as spoken. `word`: the one at the frame before, -1: none.
    """

    def __init__(self, letters: Sequence[int], word_ids: Sequence[int], first_frame: int = 0, word: int = -1) -> None:
        self._letters, self._word_ids = letters, tuple(word_ids)
        self._with_tokens = sorted(set(word_ids))
        self._first_frame = first_frame
        # What was before the first frame is not known, so the words up to there count as spoken.
        mass = np.where(np.arange(len(letters)) <= word, np.inf, 0.0)
        self._records = [_Record(word, first_frame, mass, 0, False)]

    @property
    def frames(self) -> int:
        """The number of the next frame."""
        return self._first_frame + len(self._records) - 1

    @property
    def ended(self) -> bool:
        """Whether speech has ended. The frames of its tail are not watched."""
        return self._records[-1].ended

    def step(self, attention: np.ndarray, ended: bool) -> Fault | None:
        """Take in one frame: attention `[tokens]`. `ended`: it is the frame in which speech ends.

        Returns a fault that it is the first to show.
        """
        before, frame = self._records[-1], self.frames
        weights = np.bincount(self._word_ids, attention, len(self._letters))
        word = word_reached(attention, self._word_ids, before.word)
        heaviest = int(weights.argmax())
        is_back = heaviest < word and weights[heaviest] > BACK_WEIGHT
        record = _Record(
            word,
            before.since if word == before.word else frame,
            before.mass + weights,
            before.back_frames + 1 if is_back else 0,
            ended,
        )
        self._records.append(record)
        faults = [self._skipped(before, record), self._went_back(record), self._lingers(record)]
        if ended:
            faults.append(self._ended_early(record))
        return next((fault for fault in faults if fault is not None), None)

    def rewind(self, frame: int) -> None:
        """Forget all frames from number `frame` on."""
        assert self._first_frame <= frame <= self.frames, "a frame that the guard has not seen"
        del self._records[frame - self._first_frame + 1 :]

    def _skipped(self, before: _Record, now: _Record) -> Fault | None:
        lost = self._lost(before.word, now.word, now)
        if not lost:
            return None
        return Fault(FaultKind.SKIPPED, max(now.since - REDO_FRAMES, self._first_frame), lost)

    def _went_back(self, now: _Record) -> Fault | None:
        if now.back_frames != BACK_FRAMES:
            return None
        return Fault(FaultKind.WENT_BACK, self.frames - now.back_frames)

    def _lingers(self, now: _Record) -> Fault | None:
        expected = LETTER_FRAMES * (1 + self._letters[now.word])
        if self.frames - now.since != 1 + int(max(LINGERING * expected, expected + LINGERING_FRAMES)):
            return None
        return Fault(FaultKind.LINGERS, max(self.frames - 1 - REDO_FRAMES, now.since))

    def _ended_early(self, now: _Record) -> Fault | None:
        lost = self._lost(now.word, len(self._letters), now)
        if not lost:
            return None
        return Fault(FaultKind.ENDED_EARLY, max(self.frames - 1 - REDO_FRAMES, self._first_frame), lost)

    def _lost(self, after: int, before: int, now: _Record) -> tuple[int, ...]:
        """Words between two others that were hardly attended to."""
        return tuple(each for each in self._with_tokens if after < each < before and is_missed(now.mass[each]))

"""The frames of one segment between FlowLM and the codec: held back for a moment, and made again if they show a fault.

A fault is tried to be mended `MAX_RETRIES` times, with other noise each time. If none of the tries is without a fault,
the best of them is spoken. What has been given to the codec is never taken back.
"""

import hashlib
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from torch import Tensor

from sayline_tts.engine.guarding.speech_guard import Fault, SpeechGuard
from sayline_tts.engine.scheduling.playback_buffer import STARTUP_LEAD_MS
from sayline_tts.engine.scheduling.segment_progress import Rewind, SegmentProgress
from sayline_tts.engine.scheduling.utterance import Utterance

MAX_RETRIES = 2  # of one fault


@dataclass(frozen=True, slots=True, eq=False)
class MadeFrame:
    """A frame that FlowLM has made. `is_heard`: it is part of the speech, and not only of the model's state."""

    latent: Tensor  # [dim], on FlowLM's scale
    is_eos: bool
    is_heard: bool
    attention: np.ndarray | None  # [tokens], if it was captured: always, of a guarded segment


@dataclass(frozen=True, slots=True, eq=False)
class _Try:
    fault: Fault
    frames: list[MadeFrame]


class GuardedSegment:
    """The segment that `utterance` is speaking, from the first frame that is guarded."""

    def __init__(self, utterance: Utterance) -> None:
        assert utterance.progress is not None, "no segment to guard"
        self.progress: SegmentProgress = utterance.progress
        segment = self.progress.segment
        letters = [sum(map(str.isalnum, word.spoken)) for word in segment.words]
        # Its first frame has been accounted for already.
        self._guard = SpeechGuard(letters, segment.word_ids, self.progress.frames - 1, self.progress.word)
        self._utterance = utterance
        self._held: deque[MadeFrame] = deque()
        self._before: Tensor | None = None  # the latent before the first frame that is held
        self._tries: list[_Try] = []  # at the frames from `_redo_from` on, without the present one
        self._redo_from = 0
        self._settled = 1  # frames that are not made again; the first one comes with the prefill

    def take(self, frame: MadeFrame, held: bool) -> None:
        """Take in the newest frame, after the utterance has accounted for it. Goes back if it shows a fault."""
        if held:
            self._held.append(frame)
        else:
            self._before = frame.latent
        has_ended = self.progress.speech_ended or self.progress.over
        assert frame.attention is not None, "a guard without attention"
        if not self._guard.ended and (fault := self._guard.step(frame.attention, has_ended)) is not None:
            self._mend(fault)

    def release(self) -> Iterator[tuple[MadeFrame, bool]]:
        """Yield the frames that the codec is to decode now, each with whether it is the last of the segment."""
        buffer = self._utterance.buffer
        while self._held and (self.progress.over or buffer.must_release):
            if self._first_held >= self._redo_from:
                self._tries = []
            frame = self._held.popleft()
            self._before = frame.latent
            if frame.is_heard:
                buffer.release()
            yield frame, self.progress.over and not self._held

    @property
    def _first_held(self) -> int:
        """The number of the first frame that is held."""
        return self.progress.frames - len(self._held)

    def _mend(self, fault: Fault) -> None:
        """Go back if there is something to go back to, and time for it; after enough tries, to the best of them."""
        if not self._tries:
            self._redo_from = max(fault.redo_from, self._first_held, self._settled)
        kept = self._redo_from - self._first_held
        faulty = list(self._held)[kept:]
        has_time = self._utterance.lead_ms >= STARTUP_LEAD_MS
        if not faulty or self._latent_before(kept) is None or not has_time:
            self._settle()
            return
        self._tries.append(_Try(fault, faulty))
        if len(self._tries) <= MAX_RETRIES:
            self._go_back(kept, [], self._seed())
            return
        best = min(reversed(self._tries), key=lambda each: len(each.fault.words))
        if best.frames is not faulty:
            self._go_back(kept, best.frames, None)
            for frame in best.frames:
                self._utterance.step(frame.is_eos, frame.attention, held=True)
                self._held.append(frame)
                assert frame.attention is not None, "held without attention"
                self._guard.step(frame.attention, self.progress.speech_ended)
        self._settle()

    def _settle(self) -> None:
        """Let the speech stay as it is up to here, so that it goes on whatever comes."""
        self._settled, self._tries = self.progress.frames, []

    def _go_back(self, kept: int, instead: list[MadeFrame], seed: int | None) -> None:
        """Forget all frames that are held but the first `kept`, and continue with others in their place."""
        before = self._latent_before(kept)
        assert before is not None, "nothing to go on from"
        forgotten = [self._held.pop() for _ in range(len(self._held) - kept)]
        rewind = Rewind(len(forgotten), [before, *(frame.latent for frame in instead)], seed)
        self._utterance.rewind(rewind, sum(frame.is_heard for frame in forgotten))
        self._guard.rewind(self.progress.frames)

    def _latent_before(self, kept: int) -> Tensor | None:
        return self._held[kept - 1].latent if kept else self._before

    def _seed(self) -> int:
        """The noise of a try depends on what is spoken and on the number of the try, not on what else runs."""
        key = f"{self._utterance.sampling.seed} {self.progress.start_ms:.0f} {self._redo_from} {len(self._tries)}"
        return int.from_bytes(hashlib.blake2b(key.encode(), digest_size=8).digest()) >> 1

"""Frames that wait for the codec, in order for each slot: which may be decoded next, and which are silent.

Not thread-safe; `DecodeQueue` holds its lock around every call.
"""

from collections import defaultdict, deque
from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass

import numpy as np
from torch import Tensor


@dataclass(frozen=True, slots=True)
class FrameJob:
    """What the codec needs to know of a frame besides its latent."""

    slot: int
    fresh: bool  # first frame of its utterance: reset the codec's state of the slot before it
    due_s: float  # when the listener will have played everything before it, on the queue's clock
    position: int = 0  # of a fresh one: frames that the codec's state counts before it


@dataclass(frozen=True, slots=True)
class Frame:
    """A queued frame. `generation` counts the utterances of its slot."""

    slot: int
    generation: int
    audio: Future[np.ndarray]
    job: FrameJob | None = None  # None: silence, which is not decoded
    latent: Tensor | None = None  # [dim]


class FrameQueues:
    """One queue for each slot.

    Invariant: a silent frame waits only behind a frame of its own utterance, so the first frame of a slot that is not
    busy is always one to decode.
    """

    def __init__(self) -> None:
        self.backlog = 0  # frames to decode that are waiting or being decoded
        self._waiting: dict[int, deque[Frame]] = {}  # by slot; none is empty
        self._busy: dict[int, int] = {}  # slots being decoded, with the generation of the frame
        self._generations: defaultdict[int, int] = defaultdict(int)  # of each slot

    def put(self, job: FrameJob, latent: Tensor) -> Future[np.ndarray]:
        """Queue a frame of the slot's current utterance."""
        self.backlog += 1
        return self._append(job.slot, job, latent)

    def put_silence(self, slot: int) -> Future[np.ndarray] | None:
        """Queue a silent frame behind those of the slot's current utterance; None if there are none."""
        generation, waiting = self._generations[slot], self._waiting.get(slot)
        behind = waiting[-1].generation if waiting else self._busy.get(slot)
        return self._append(slot) if behind == generation else None

    def next_utterance(self, slot: int, drop: bool) -> list[Frame]:
        """End the slot's current utterance. `drop`: take out and return its waiting frames."""
        generation = self._generations[slot]
        self._generations[slot] += 1
        if not drop:
            return []
        waiting = self._waiting.pop(slot, deque())
        if kept := deque(frame for frame in waiting if frame.generation != generation):
            self._waiting[slot] = kept
        dropped = [frame for frame in waiting if frame.generation == generation]
        self.backlog -= sum(frame.job is not None for frame in dropped)
        return dropped

    @property
    def ready(self) -> list[FrameJob]:
        """The first frame of each slot that is not busy."""
        firsts = [frames[0].job for slot, frames in self._waiting.items() if slot not in self._busy]
        return [job for job in firsts if job is not None]

    def take(self, slots: Sequence[int]) -> list[Frame]:
        """Take out the first frame of each of `slots`, which are busy until `finish`."""
        frames = [self._pop(slot) for slot in slots]
        self._busy.update((frame.slot, frame.generation) for frame in frames)
        return frames

    def finish(self, slots: Sequence[int]) -> list[Frame]:
        """Return the silent frames that follow the frame just decoded in each of `slots`, taken out.

        If there are none, the slots are no longer busy. Call again after the callbacks of those returned.
        """
        silent = [self._pop(slot) for slot in slots if slot in self._waiting and self._waiting[slot][0].job is None]
        if not silent:
            for slot in slots:
                del self._busy[slot]
            self.backlog -= len(slots)
        return silent

    def _append(self, slot: int, job: FrameJob | None = None, latent: Tensor | None = None) -> Future[np.ndarray]:
        audio = _running_future()
        self._waiting.setdefault(slot, deque()).append(Frame(slot, self._generations[slot], audio, job, latent))
        return audio

    def _pop(self, slot: int) -> Frame:
        frames = self._waiting[slot]
        frame = frames.popleft()
        if not frames:
            del self._waiting[slot]
        return frame


def _running_future() -> Future[np.ndarray]:
    """Return a future that a waiter cannot cancel."""
    future: Future[np.ndarray] = Future()
    future.set_running_or_notify_cancel()
    return future

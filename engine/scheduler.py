"""Who waits, who runs, and which rows join or step now. Bookkeeping only: slot numbers, never tensors."""

import heapq
from collections import deque
from dataclasses import dataclass

from engine.errors import Full
from engine.utterance import Sampling, Status, Utterance
from engine.voice import Voice


@dataclass(frozen=True, slots=True)
class Join:
    """What a row needs to begin a segment."""

    tokens: tuple[int, ...]
    voice: Voice | None  # begin behind this voice; None: go on from where the row is
    fresh: bool  # first segment of its utterance: silence in the codec, noise from the seed


@dataclass(frozen=True, slots=True)
class Row:
    """One slot in one step."""

    slot: int
    sampling: Sampling
    join: Join | None
    discard: bool
    discard_on_eos: bool


@dataclass(frozen=True, slots=True)
class Batch:
    """All that passes from the loop to the engine's thread: rows that join, then rows that go on."""

    rows: tuple[Row, ...]

    def __bool__(self) -> bool:
        return bool(self.rows)


class Scheduler:
    """At most `slots` utterances run and `max_waiting` wait."""

    def __init__(self, slots: int, max_waiting: int) -> None:
        self.slots, self.max_waiting = slots, max_waiting
        self.waiting: deque[Utterance] = deque()
        self.running: dict[int, Utterance] = {}
        self._free = list(range(slots))  # a heap: low slots first keeps the state small

    def add(self, utterance: Utterance) -> None:
        if len(self.waiting) >= self.max_waiting and not self._free:
            raise Full(f"all {self.slots} voices are speaking and {self.max_waiting} wait; try again in a moment")
        self.waiting.append(utterance)

    def schedule(self) -> Batch:
        """Free slots to those who wait and have something to say; then all rows that are ready."""
        for utterance in [waiting for waiting in self.waiting if waiting.ready][: len(self._free)]:
            self.waiting.remove(utterance)
            utterance.move(Status.RUNNING)
            self.running[heapq.heappop(self._free)] = utterance
        rows = [self._row(slot, utterance) for slot, utterance in self.running.items() if utterance.ready]
        return Batch(tuple(sorted(rows, key=lambda row: (row.join is None, row.slot))))

    def release(self) -> list[tuple[Utterance, int | None]]:
        """Take out all that are over or complete, with the slots they had."""
        gone: list[tuple[Utterance, int | None]] = []
        for slot, utterance in list(self.running.items()):
            if utterance.over or utterance.complete:
                del self.running[slot]
                heapq.heappush(self._free, slot)
                gone.append((utterance, slot))
        for utterance in [waiting for waiting in self.waiting if waiting.over or waiting.complete]:
            self.waiting.remove(utterance)
            gone.append((utterance, None))
        return gone

    def _row(self, slot: int, utterance: Utterance) -> Row:
        join = None
        if utterance.segment is None:
            fresh = not utterance.begun
            segment = utterance.begin_segment()
            voice = utterance.voice if fresh or not utterance.continues else None
            join = Join(segment.tokens, voice, fresh)
        return Row(slot, utterance.sampling, join, utterance.discard, utterance.discard_on_eos)

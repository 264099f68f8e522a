"""Who has a slot and which rows join or step now, by deadline. Bookkeeping only: slot numbers, never tensors.

A row's lead says when its listener runs dry. Nobody steps while everybody has enough; when somebody presses, those who
would press within a frame go with him, because a step of many costs little more than a step of few. Who is let in is
said by `sayline_tts.engine.scheduling.admission`.
"""

import heapq
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from sayline_tts.engine.models.voice import Voice
from sayline_tts.engine.scheduling.admission import Admission
from sayline_tts.engine.scheduling.cost_model import GROUP, Costs
from sayline_tts.engine.scheduling.utterance import NEWCOMER_MS, Status, Utterance
from sayline_tts.engine.segment import Sampling

JOIN_MS = 40.0  # of prefill in one step: the first of those who begin together shall not wait for the last
LOOK_AGAIN_S = 0.001  # at the earliest, whatever rounding says


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
    discard: bool = False
    discard_on_eos: bool = False
    due_s: float = 0.0  # when the listener has played all before this frame, by the clock
    text_length: int = 0  # tokens of what it speaks, where somebody asks when its words are spoken

    @property
    def fresh(self) -> bool:
        return self.join is not None and self.join.fresh


@dataclass(frozen=True, slots=True)
class Batch:
    """All that passes from the loop to the engine's thread: rows that join and rows that go on."""

    rows: tuple[Row, ...]

    def __bool__(self) -> bool:
        return bool(self.rows)

    @property
    def positions(self) -> int:
        """Of its prefill."""
        return _positions([len(row.join.tokens) for row in self.rows if row.join is not None])

    @property
    def staying(self) -> int:
        """Rows that go on."""
        return sum(row.join is None for row in self.rows)


@dataclass(frozen=True, slots=True)
class _Candidate:
    """One who may step, as it is now."""

    slot: int
    utterance: Utterance
    lead_ms: float
    newcomer: bool

    @property
    def scarce(self) -> bool:
        return not self.newcomer and self.lead_ms < self.utterance.scarce_ms

    @property
    def presses(self) -> bool:
        return self.newcomer or self.lead_ms <= self.utterance.enough_ms

    @property
    def urgent(self) -> bool:
        return self.newcomer or self.scarce

    @property
    def order(self) -> tuple[int, float]:
        """Who is about to run dry, newcomers, the others; of each, who has least."""
        return (0 if self.scarce else 1 if self.newcomer else 2, self.lead_ms)

    @property
    def tokens(self) -> int | None:
        """Of the segment that its step begins. None: it goes on."""
        segment = self.utterance.next_segment
        return None if segment is None else len(segment.tokens)


class Scheduler:
    """At most `slots` utterances have a slot."""

    def __init__(
        self,
        slots: int,
        max_waiting: int,
        capacity: int | None = None,
        costs: Costs | None = None,
        frame_ms: float = 80.0,
        now_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self._costs, self._frame_ms, self._now_s = costs or Costs(), frame_ms, now_s
        self.admission = Admission(slots, max_waiting, capacity, self._costs, frame_ms, now_s)
        self.running: dict[int, Utterance] = {}
        self.held_frames: int | None = None  # rows were left out of the last batch until the codec is no further behind
        self._free = list(range(slots))  # a heap: low slots first keeps the state small
        self._owed = False  # newcomers had to let others pass

    def add(self, utterance: Utterance) -> None:
        if self.admission.ask(utterance):
            self._seat(utterance)

    def schedule(self, backlog: int = 0) -> Batch:
        """`backlog`: frames that the codec has not decoded yet."""
        self.admission.look()
        while (utterance := self.admission.next()) is not None:
            self._seat(utterance)
        now_s, self.held_frames = self._now_s(), None
        rows = sorted(self._choose(self._candidates(), backlog), key=lambda each: each.slot)
        return Batch(tuple(self._row(each, now_s) for each in rows))

    def next_due_s(self) -> float | None:
        """Until the clock alone makes somebody due, where the last batch was empty."""
        due_s = [wait_s] if (wait_s := self.admission.next_due_s()) is not None else []
        for utterance in self.running.values():
            if not utterance.over and not utterance.idle:
                enough = utterance.lead_ms > utterance.enough_ms
                due_ms = utterance.due_in_ms(utterance.enough_ms if enough else utterance.scarce_ms)
                due_s += [due_ms / 1000] if due_ms is not None else []
        return max(min(due_s), LOOK_AGAIN_S) if due_s else None

    def release(self) -> list[tuple[Utterance, int | None]]:
        """Take out all that are over or complete, with the slots they had."""
        gone: list[tuple[Utterance, int | None]] = []
        for slot, utterance in list(self.running.items()):
            if utterance.over or utterance.complete:
                del self.running[slot]
                heapq.heappush(self._free, slot)
                gone.append((utterance, slot))
        gone += [(waiting, None) for waiting in self.admission.waiting if waiting.over or waiting.complete]
        for utterance, _ in gone:
            self.admission.leave(utterance)
        return gone

    def _seat(self, utterance: Utterance) -> None:
        utterance.move(Status.RUNNING)
        self.running[heapq.heappop(self._free)] = utterance

    def _candidates(self) -> list[_Candidate]:
        """All who may step, the most urgent first."""
        ready = [
            _Candidate(slot, utterance, utterance.lead_ms, utterance.newcomer)
            for slot, utterance in self.running.items()
            if utterance.ready
        ]
        return sorted(ready, key=lambda each: each.order)

    def _choose(self, ready: list[_Candidate], backlog: int) -> list[_Candidate]:
        """Newcomers join alone and wait for nobody, where those who listen have the time for that; else all are in one
        pass, rows that join and rows that go on: it reads all weights only once.
        """
        joining = self._pressed([each for each in ready if each.tokens is not None])
        going = self._pressed(staying := [each for each in ready if each.tokens is None])
        slack_ms, pressed = self._slack_ms(staying), len(joining) + len(going)
        newcomers = [each for each in joining if each.newcomer]
        if newcomers and joining[0] is newcomers[0] and self._prefill_ms(newcomers[:1]) <= slack_ms:
            joining, going = newcomers, []
        elif going and all(each.newcomer for each in going):  # these are not to wait for others
            joining = [each for each in joining if each.urgent]
        joining = self._affordable(joining, slack_ms, len(going))
        self._owed = bool(newcomers) and not any(each.newcomer for each in joining)
        return self._not_held(going + joining, backlog, pressed)

    def _pressed(self, rows: list[_Candidate]) -> list[_Candidate]:
        """Nobody, while nobody presses. Newcomers alone, while all others have more than they; else all who press or
        will within a frame.
        """
        if not any(each.presses for each in rows):
            return []
        newcomers = [each for each in rows if each.newcomer]
        if newcomers and all(each.newcomer or each.lead_ms > NEWCOMER_MS for each in rows):
            return newcomers
        return [each for each in rows if each.newcomer or each.lead_ms <= each.utterance.enough_ms + self._frame_ms]

    def _slack_ms(self, staying: Sequence[_Candidate]) -> float:
        """For prefill, until those who are being spoken must have their step, which takes time itself."""
        if not staying:
            return math.inf
        group_ms = self._costs.group(min(GROUP, len(staying)))  # the one that is decoded then, and theirs
        return min(each.lead_ms for each in staying) - self._costs.flow(len(staying)) - 2 * group_ms

    def _affordable(self, joining: Sequence[_Candidate], slack_ms: float, going: int) -> list[_Candidate]:
        """As many as there is time for in one pass with so many who go on; the first in any case, if nobody does or it
        is about to run dry, or a newcomer and the last pass had none.
        """
        budget_ms, count = min(JOIN_MS, slack_ms), 0
        if joining and (not going or joining[0].scarce or (joining[0].newcomer and self._owed)):
            count = 1
        while count < len(joining) and self._prefill_ms(joining[: count + 1], going) <= budget_ms:
            count += 1
        return list(joining[:count])

    def _prefill_ms(self, joining: Sequence[_Candidate], going: int = 0) -> float:
        return self._costs.prefill_ms(_positions([each.tokens or 0 for each in joining]), going)

    def _not_held(self, rows: list[_Candidate], backlog: int, pressed: int) -> list[_Candidate]:
        """FlowLM is a step ahead of the codec and no more; newcomers do not wait for that, nor does silence."""
        if backlog <= pressed or any(each.scarce for each in rows):
            return rows
        self.held_frames = pressed
        return [each for each in rows if each.newcomer]

    def _row(self, chosen: _Candidate, now_s: float) -> Row:
        utterance, join = chosen.utterance, None
        if utterance.segment is None:
            fresh = not utterance.begun
            segment = utterance.begin_segment()
            voice = utterance.voice if fresh or not utterance.continues else None
            join = Join(segment.tokens, voice, fresh)
        due_s = now_s + chosen.lead_ms / 1000
        return Row(
            chosen.slot, utterance.sampling, join, utterance.discard, utterance.discard_on_eos, due_s,
            text_length=utterance.watched_tokens,
        )  # fmt: skip


def _positions(tokens: Sequence[int]) -> int:
    """Of a prefill of such texts: the mark where speech begins is behind each."""
    return sum(tokens) + len(tokens)

"""Scheduler: assigns slots and picks the rows of each step, by deadline. It handles slot numbers, never tensors.

Theory of operation
===================

A step is one pass of FlowLM over a batch of rows, one row a slot; each row yields one frame (80 ms of audio). A pass
reads all weights whatever its size, so a step of many rows costs little more than a step of one. The scheduler
therefore makes batches large and few, as late as the listeners' buffers permit, and breaks that rule only for rows that
have no buffer yet.

States
------

An utterance is WAITING (in the queue of `Admission`), RUNNING (has a slot), or over (FINISHED, CANCELLED, FAILED). It
gets the lowest free slot when it is admitted and keeps it, also while it has no text, until `release`. Of a RUNNING
utterance these count:

- Its *lead*: ms of audio produced and not yet played. The listener runs dry when it reaches 0, so the lead is the
  deadline of the next frame. It shrinks with the listener's playback clock and grows by one frame a step.
- `max_lead_ms` (the server's default is 1000): with this lead the row is paused.
- The *low-water mark*, half of `max_lead_ms`: with no more lead than this the row *wants a step*.
- *Near underrun*: less than 120 ms of lead (or than the low-water mark, if that is lower).
- *Awaiting first audio*: it was idle when text came, and has not had 240 ms of lead since. One frame lasts 80 ms only,
  so the first three are made with priority.

A row is *ready* if it has a segment to begin or to continue, enough words ahead of the voice if that segment is open,
less than `max_lead_ms` of lead, and is not over. A ready row that begins a segment, or has to extend one, is a *prefill
row*: its tokens, the beginning-of-speech mark and, for an extension, the frames of the segment so far are processed in
one pass, which yields its next frame. Any other ready row is a *decode row*: one position. Pauses take no step; the
engine makes their frames in `commit`.

Priority
--------

Rows are ordered by class, and within a class by lead, smallest first:

1. near underrun,
2. awaiting first audio,
3. all others.

Which rows are due
------------------

Applied to the ready prefill rows and to the ready decode rows separately:

- If none of them wants a step or awaits first audio, none is due: nothing runs while every listener has more than half
  its lead buffered.
- If some await first audio and all others have more than 240 ms of lead, those that await are due alone.
- Otherwise those that await first audio are due, and so are all rows whose lead is at most one frame above their
  low-water mark: they would want a step within the next frame anyway. Together with the first rule this makes batches
  full or nothing: rows fall into step with each other, and there is about one step a frame for everybody.

Prefill
-------

Prefill takes time that decode rows may not have. The *slack* is the least lead of all ready decode rows, less what
their own step costs (FlowLM, and two decode groups of the codec: the one under way and theirs); infinite without decode
rows. All costs are ms by `CostModel`.

- If the first prefill row awaits first audio and its prefill fits into the slack, the prefill rows that await first
  audio run in a pass of their own, without decode rows: that is the shortest time to first audio.
- Otherwise prefill rows share one pass with the decode rows that are due. If all of those await first audio themselves,
  only prefill rows of the classes 1 and 2 may join, so that first audio does not wait for others.
- Prefill rows are taken in their order for as long as the prefill of all of them fits into the slack and into
  `PREFILL_BUDGET_MS`; the first of several that begin together shall not wait for the last.
- The first of them is taken whatever it costs if no decode row runs, if it is near underrun, or if it awaits first
  audio and the last batch had to skip such rows. So neither starves the other.

A decode row that may extend its text (`SegmentProgress.may_extend`) and is not near underrun becomes a prefill row if
there is time left after these; else it decodes.

Held frames
-----------

A row of a guarded utterance (`Utterance.holds`) makes frames that the engine holds back for a while. They do not count
as lead, so FlowLM runs ahead by as many of them while the listener has enough. If they show a fault, the next step of
the row goes back first (`Rewind`).

Throttling
----------

The codec decodes frames on threads of its own. If it has more frames waiting than there are rows due, more latents
would only lengthen its queue and delay urgent frames: then only rows that await first audio run, unless some row is
near underrun, which lifts the limit for the whole batch. `throttled_until` tells the engine at which backlog to
schedule again.

Waking up
---------

After an empty batch nothing happens until an event (text, playback report, audio sent, a frame decoded, an utterance
cancelled) or until `next_due_s`: when playback alone brings the first row to its low-water mark, or, from there on,
near underrun; or when an idle utterance stops being load and the queue moves. A row whose audio has not been sent sets
no timer, since the clock cannot bring its lead down any further.

Invariants
----------

- A slot belongs to one utterance at a time. Only `release` frees it, and the engine calls that in `commit`, when no
  pass is running: so never while a pass writes to the slot.
- A batch has each slot at most once, in ascending order, and only RUNNING utterances with a segment.
- A row that is not in the batch costs nothing and is not written to.
- `WAITING` utterances are admitted in their order; none overtakes another.
"""

import heapq
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from sayline_tts.engine.models.voice import Voice
from sayline_tts.engine.scheduling.admission import Admission
from sayline_tts.engine.scheduling.cost_model import MAX_DECODE_GROUP, CostModel
from sayline_tts.engine.scheduling.playback_buffer import STARTUP_LEAD_MS
from sayline_tts.engine.scheduling.resumption import GivenFrame, Resumption
from sayline_tts.engine.scheduling.segment_progress import Rewind
from sayline_tts.engine.scheduling.utterance import Status, Utterance
from sayline_tts.engine.scheduling.word_position import WordLimit
from sayline_tts.engine.segment import Sampling

PREFILL_BUDGET_MS = 40.0  # of one step
MIN_WAIT_S = 0.001  # of a timer, so that rounding never makes it spin
RETRY_TEMPERATURE = 0.3  # at least, of frames that are made again: without noise they would be the same


@dataclass(frozen=True, slots=True)
class Prefill:
    """Input of a row that begins a segment, or extends the text of an open one."""

    tokens: tuple[int, ...]
    voice: Voice | None  # start behind this voice; None: continue from the row's state
    fresh: bool  # first segment of its utterance: reset the codec's state, seed the noise
    open: bool = False  # more text may follow: keep the latents for the prefill of an extension
    frames: int | None = None  # of an extension: frames of the segment so far, which are prefilled too

    @property
    def positions(self) -> int:
        """Its tokens, the beginning-of-speech mark behind them, and the frames so far."""
        return len(self.tokens) + 1 + (self.frames or 0)


@dataclass(frozen=True, slots=True)
class Row:
    """One slot in one step."""

    slot: int
    sampling: Sampling
    prefill: Prefill | None  # None: a decode row
    discard: bool = False
    discard_on_eos: bool = False
    due_s: float = 0.0  # when the listener will have played everything before this frame, on the scheduler's clock
    attention_tokens: int = 0  # tokens of its segment if their attention is to be captured, else 0
    word_limit: WordLimit | None = None  # a frame beyond it is dropped, and the next step extends the text
    held: bool = False  # its frame is not given to the codec yet
    rewind: Rewind | None = None  # go back first
    given: GivenFrame | None = None  # what it makes, because another engine has made it; it is not decoded
    resumption: Resumption | None = None  # of a fresh row: take up the state that another engine left

    @property
    def fresh(self) -> bool:
        return self.prefill is not None and self.prefill.fresh

    @property
    def resets_codec(self) -> bool:
        """Whether its frame is the first that the codec decodes of the utterance."""
        return self.fresh and (self.resumption is None or not len(self.resumption.history))


@dataclass(frozen=True, slots=True)
class Batch:
    """Prefill rows and decode rows of one step; all that passes from the scheduling thread to the engine's."""

    rows: tuple[Row, ...]

    def __bool__(self) -> bool:
        return bool(self.rows)

    @property
    def positions(self) -> int:
        """Positions of all its prefill rows."""
        return sum(row.prefill.positions for row in self.rows if row.prefill is not None)

    @property
    def decode_rows(self) -> int:
        return sum(row.prefill is None for row in self.rows)


@dataclass(frozen=True, slots=True)
class _Candidate:
    """A ready row, with its lead at the time of scheduling."""

    slot: int
    utterance: Utterance
    lead_ms: float
    awaiting_first_audio: bool
    extends: bool = False  # its step extends the text although it need not

    @property
    def near_underrun(self) -> bool:
        return not self.awaiting_first_audio and self.lead_ms < self.utterance.buffer.near_underrun_ms

    def wants_step(self, within_ms: float = 0.0) -> bool:
        """Return whether it wants a step now, or will within so much playback."""
        return self.awaiting_first_audio or self.lead_ms <= self.utterance.buffer.low_water_ms + within_ms

    @property
    def urgent(self) -> bool:
        return self.awaiting_first_audio or self.near_underrun

    @property
    def priority(self) -> tuple[int, float]:
        """Smallest first."""
        return (0 if self.near_underrun else 1 if self.awaiting_first_audio else 2, self.lead_ms)

    @property
    def begins_or_must_extend(self) -> bool:
        """Whether its step is a prefill in any case."""
        progress = self.utterance.progress
        return self.utterance.next_segment is not None or (progress is not None and progress.must_extend)

    @property
    def may_extend(self) -> bool:
        """Whether its step can be a prefill of longer text. With little lead it decodes, which is faster."""
        progress = self.utterance.progress
        return progress is not None and progress.may_extend and not self.near_underrun

    @property
    def prefill_positions(self) -> int:
        """Positions of its prefill."""
        if (segment := self.utterance.next_segment) is not None:
            return len(segment.tokens) + 1
        progress = self.utterance.progress
        assert progress is not None, "a decode row"
        return len(progress.newest.tokens) + 1 + progress.frames


class Scheduler:
    """Slots, admission and the choice of rows for at most `slots` utterances at once."""

    def __init__(
        self,
        slots: int,
        max_waiting: int,
        capacity: int | None = None,
        costs: CostModel | None = None,
        frame_ms: float = 80.0,
        now_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self._costs, self._frame_ms, self._now_s = costs or CostModel(), frame_ms, now_s
        self.admission = Admission(slots, max_waiting, capacity, self._costs, frame_ms, now_s)
        self.running: dict[int, Utterance] = {}
        self.throttled_until: int | None = None  # the last batch left rows out until the backlog is no more than this
        self._free_slots = list(range(slots))  # a heap: low slots first keeps the state small
        self._first_audio_skipped = False  # the last batch had no room for rows that await first audio

    def add(self, utterance: Utterance) -> None:
        """Give `utterance` a slot or a place in the queue. Raises `Full`."""
        if self.admission.admit(utterance):
            self._assign_slot(utterance)

    def schedule(self, backlog: int = 0) -> Batch:
        """Return the rows to step now. `backlog`: frames that the codec has not decoded yet."""
        self.admission.refresh()
        while (utterance := self.admission.admit_next()) is not None:
            self._assign_slot(utterance)
        now_s, self.throttled_until = self._now_s(), None
        rows = sorted(self._choose(self._candidates(), backlog), key=lambda each: each.slot)
        return Batch(tuple(self._row(each, now_s) for each in rows))

    def next_due_s(self) -> float | None:
        """Return the seconds until the clock alone makes a row due; None if it never does. After an empty batch."""
        due_s = [wait_s] if (wait_s := self.admission.next_due_s()) is not None else []
        for utterance in self.running.values():
            if not utterance.over and not utterance.idle and not utterance.awaits_text:
                buffer = utterance.buffer
                above_mark = buffer.lead_ms > buffer.low_water_ms
                due_ms = buffer.due_in_ms(buffer.low_water_ms if above_mark else buffer.near_underrun_ms)
                due_s += [due_ms / 1000] if due_ms is not None else []
        return max(min(due_s), MIN_WAIT_S) if due_s else None

    def release(self) -> list[tuple[Utterance, int | None]]:
        """Remove all utterances that are over or complete. Returns them with the slots that they had."""
        released: list[tuple[Utterance, int | None]] = []
        for slot, utterance in list(self.running.items()):
            if utterance.over or utterance.complete:
                del self.running[slot]
                heapq.heappush(self._free_slots, slot)
                released.append((utterance, slot))
        released += [(waiting, None) for waiting in self.admission.waiting if waiting.over or waiting.complete]
        for utterance, _ in released:
            self.admission.remove(utterance)
        return released

    def _assign_slot(self, utterance: Utterance) -> None:
        utterance.move(Status.RUNNING)
        self.running[heapq.heappop(self._free_slots)] = utterance

    def _candidates(self) -> list[_Candidate]:
        """Return all ready rows by priority."""
        ready = [
            _Candidate(slot, utterance, utterance.lead_ms, utterance.buffer.awaiting_first_audio)
            for slot, utterance in self.running.items()
            if utterance.ready
        ]
        return sorted(ready, key=lambda each: each.priority)

    def _choose(self, ready: list[_Candidate], backlog: int) -> list[_Candidate]:
        """Return the rows of the next batch: prefill of first audio alone where there is time, else one mixed pass."""
        prefill_rows = self._due([each for each in ready if each.begins_or_must_extend])
        decode_rows = self._due(ready_decode := [each for each in ready if not each.begins_or_must_extend])
        slack_ms, due = self._slack_ms(ready_decode), len(prefill_rows) + len(decode_rows)
        first_audio = [each for each in prefill_rows if each.awaiting_first_audio]
        if first_audio and prefill_rows[0] is first_audio[0] and self._prefill_ms(first_audio[:1]) <= slack_ms:
            prefill_rows, decode_rows = first_audio, []
        elif decode_rows and all(each.awaiting_first_audio for each in decode_rows):
            prefill_rows = [each for each in prefill_rows if each.urgent]
        extensions = [replace(each, extends=True) for each in decode_rows if each.may_extend]
        prefill_rows = self._affordable(prefill_rows + extensions, slack_ms, len(decode_rows))
        extended = {each.slot for each in prefill_rows}
        decode_rows = [each for each in decode_rows if each.slot not in extended]
        self._first_audio_skipped = bool(first_audio) and not any(each.awaiting_first_audio for each in prefill_rows)
        return self._throttle(decode_rows + prefill_rows, backlog, due)

    def _due(self, rows: list[_Candidate]) -> list[_Candidate]:
        """Return those that are to step now: none, those that await first audio, or a full batch."""
        if not any(each.wants_step() for each in rows):
            return []
        first_audio = [each for each in rows if each.awaiting_first_audio]
        if first_audio and all(each.awaiting_first_audio or each.lead_ms > STARTUP_LEAD_MS for each in rows):
            return first_audio
        return [each for each in rows if each.wants_step(within_ms=self._frame_ms)]

    def _slack_ms(self, ready_decode: Sequence[_Candidate]) -> float:
        """Return the time for prefill until the decode rows must have made their own step."""
        if not ready_decode:
            return math.inf
        group_ms = self._costs.codec(min(MAX_DECODE_GROUP, len(ready_decode)))
        step_ms = self._costs.flow_lm(len(ready_decode)) + 2 * group_ms  # the group under way, and theirs
        return min(each.lead_ms for each in ready_decode) - step_ms

    def _affordable(self, prefill_rows: Sequence[_Candidate], slack_ms: float, decode_rows: int) -> list[_Candidate]:
        """Return the first prefill rows for which there is time in one pass with so many decode rows."""
        budget_ms, count = min(PREFILL_BUDGET_MS, slack_ms), 0
        first = prefill_rows[0] if prefill_rows else None
        starved = first is not None and first.awaiting_first_audio and self._first_audio_skipped
        if first is not None and (not decode_rows or first.near_underrun or starved):
            count = 1
        while count < len(prefill_rows) and self._prefill_ms(prefill_rows[: count + 1], decode_rows) <= budget_ms:
            count += 1
        return list(prefill_rows[:count])

    def _prefill_ms(self, prefill_rows: Sequence[_Candidate], decode_rows: int = 0) -> float:
        return self._costs.prefill_ms(sum(each.prefill_positions for each in prefill_rows), decode_rows)

    def _throttle(self, rows: list[_Candidate], backlog: int, due: int) -> list[_Candidate]:
        """Leave out all but first audio while FlowLM is more than a step ahead of the codec."""
        if backlog <= due or any(each.near_underrun for each in rows):
            return rows
        self.throttled_until = due
        return [each for each in rows if each.awaiting_first_audio]

    def _row(self, chosen: _Candidate, now_s: float) -> Row:
        utterance, progress, prefill, resumption = chosen.utterance, chosen.utterance.progress, None, None
        if progress is None or progress.over:
            fresh = progress is None
            resumption = utterance.resumption if fresh else None
            progress = utterance.begin_segment()
            voice = utterance.voice if fresh or not utterance.continues else None
            prefill = Prefill(progress.segment.tokens, voice, fresh, progress.segment.open)
        elif chosen.extends or progress.must_extend:
            frames = utterance.extend_segment()
            prefill = Prefill(progress.segment.tokens, utterance.voice, False, progress.segment.open, frames)
        due_s, sampling, given = now_s + chosen.lead_ms / 1000, utterance.sampling, utterance.take_given()
        if progress.retries:
            sampling = replace(sampling, temperature=max(sampling.temperature, RETRY_TEMPERATURE))
        return Row(
            chosen.slot, sampling, prefill, progress.discard, progress.discard_on_eos, due_s,
            progress.attention_tokens, None if given else progress.word_limit, utterance.holds and given is None,
            progress.take_rewind(), given, resumption,
        )  # fmt: skip

"""Admission control: which utterances get a slot, which wait in the queue, and when a rejected one should retry.

An utterance counts as load while it has something to say and for `IDLE_S` after that, because a writer that pauses
usually continues. An admitted utterance is never asked to queue again.
"""

from collections import deque
from collections.abc import Callable, Collection

from sayline_tts.engine.errors import Full
from sayline_tts.engine.scheduling.cost_model import CostModel
from sayline_tts.engine.scheduling.load_limit import LoadLimit, Supply
from sayline_tts.engine.scheduling.playback_buffer import PlaybackBuffer
from sayline_tts.engine.scheduling.utterance import Status, Utterance

IDLE_S = 2.0  # without text, until an utterance stops counting as load
RECLAIM_S = 5.0  # without text, until an utterance may have to give its slot to one that waits
TYPICAL_UTTERANCE_MS = 10_000.0  # speech in one utterance, before any has finished
MIN_LOW_WATER_MS, USUAL_LOW_WATER_MS = 240.0, 500.0  # listeners with less than the first are always near their end
SHORT_SHARE = 0.05  # of the listeners: so many may be short of audio
BEHIND, TIGHT = 0.5, 0.8  # of the low-water mark: shorter than this
MIN_STARTING, STARTING_SHARE = 8, 0.15  # of the listeners: the buffers of so many may be filled at once
SMOOTHING = 0.1  # weight of a finished utterance in the running averages
RETRY_MS = (100.0, 60_000.0)  # bounds of `retry_after_ms`


class Admission:
    """Bookkeeping of load and of the queue.

    `capacity`: most utterances that may be load at once, never more than `slots`. None: what `costs` allow once they
    have been profiled, until then `slots`, within what `load_limit` has found out since.
    """

    def __init__(
        self, slots: int, max_waiting: int, capacity: int | None, costs: CostModel, frame_ms: float,
        now_s: Callable[[], float],
    ) -> None:  # fmt: skip
        self.waiting: deque[Utterance] = deque()
        self.load_limit = LoadLimit()
        self._slots, self._max_waiting, self._fixed_capacity = slots, max_waiting, capacity
        self._costs, self._frame_ms, self._now_s = costs, frame_ms, now_s
        self._admitted: dict[Utterance, float] = {}  # to the time at which each one last had text
        self._typical_ms, self._length_ratio = TYPICAL_UTTERANCE_MS, 1.0

    @property
    def capacity(self) -> int:
        """Most utterances that may be load at once."""
        if self._fixed_capacity is not None:
            return min(self._fixed_capacity, self._slots)
        return max(1, int(min(self.predicted_capacity, self.load_limit.ceiling)))

    @property
    def predicted_capacity(self) -> int:
        """Capacity by the costs alone."""
        return self._costs.capacity(self._frame_ms, self._slots)

    @property
    def load(self) -> int:
        """Utterances that have something to say, or had within the last `IDLE_S`."""
        return len(self._active())

    @property
    def has_room(self) -> bool:
        # An utterance played at twice the speed needs twice as many frames.
        frames = sum(self._frame_ms / each.frame_ms for each in self._active())
        return len(self._admitted) < self._slots and frames < self.capacity

    @property
    def may_start(self) -> bool:
        """Whether the listeners who are there can spare the time in which another one gets its first audio.

        So a crowd that arrives at once gets in by and by, as fast as the machine can start them without a gap for any.
        """
        if self._fixed_capacity is not None or self._costs.step is None:
            return True
        starting = sum(not (each.buffer.settled or each.idle or each.over) for each in self._admitted)
        most = max(MIN_STARTING, STARTING_SHARE * len(self._admitted))
        return starting < most and self.supply is Supply.GOOD

    def admit(self, utterance: Utterance) -> bool:
        """Admit `utterance`, or else put it into the queue and return False.

        Raises `Full` if the queue is full too, or if the utterance may not queue.
        """
        if utterance.resumption is not None and len(self._admitted) < self._slots:  # was admitted on another engine
            self._enter(utterance)
            return True
        must_wait = self.waiting or not self.has_room or not self.may_start
        if utterance.may_queue and len(self.waiting) < self._max_waiting and must_wait:
            self.waiting.append(utterance)
            return False
        self.check_room()
        self._enter(utterance)
        return True

    def check_room(self) -> None:
        """Raise `Full` if an utterance that may not queue would be rejected now."""
        if self.has_room and not self.waiting:
            return
        after_ms = self.retry_after_ms()
        queued = f" and {len(self.waiting)} queued" if self.waiting else ""
        load = f"{len(self._admitted)} utterances are being spoken{queued}"
        raise Full(f"server full: {load}; try again in {after_ms / 1000:.1f} s", after_ms)

    def admit_next(self) -> Utterance | None:
        """Admit the first utterance of the queue and return it, if there is room."""
        first = next((each for each in self.waiting if not each.over), None)
        if first is not None and self.has_room and self.may_start:
            self.waiting.remove(first)
            self._enter(first)
            return first
        return None

    @property
    def supply(self) -> Supply:
        """How well listeners are supplied, by their buffers. Those that are being filled are behind if they run dry."""
        buffers = [
            each.buffer
            for each in self._admitted
            if not (each.over or each.idle or each.buffer.awaiting_first_audio)
            and each.buffer.low_water_ms >= MIN_LOW_WATER_MS
        ]
        for supply, share in ((Supply.BEHIND, BEHIND), (Supply.TIGHT, TIGHT)):
            if sum(_is_short(each, share) for each in buffers) > SHORT_SHARE * len(buffers):
                return supply
        return Supply.GOOD

    def refresh(self) -> None:
        """Note which utterances have something to say. Call before each step."""
        now_s = self._now_s()
        for utterance in self._admitted:
            if not utterance.idle:
                self._admitted[utterance] = now_s

    def remove(self, utterance: Utterance) -> None:
        """Forget an utterance that has ended; learn from its length unless it was cancelled."""
        if self._admitted.pop(utterance, None) is None:
            self.waiting.remove(utterance)
        elif utterance.status is not Status.CANCELLED and (ratio := utterance.length_ratio) is not None:
            self._typical_ms += SMOOTHING * (utterance.produced_ms - self._typical_ms)
            self._length_ratio += SMOOTHING * (ratio - self._length_ratio)

    def queue_position(self, utterance: Utterance) -> int | None:
        """Return the position in the queue, 1 for the next; None if the utterance is not queued."""
        return self.waiting.index(utterance) + 1 if utterance in self.waiting else None

    def reclaimable(self) -> list[Utterance]:
        """Return utterances to end because others wait and no slot is left: those without text for the longest time.

        They have been played, and had no text for `RECLAIM_S`.
        """
        missing = sum(not each.over for each in self.waiting) - (self._slots - len(self._admitted))
        if missing <= 0 or len(self._admitted) < self._slots:
            return []
        silent_since_s = self._now_s() - RECLAIM_S
        silent = [
            (last_text_s, each)
            for each, last_text_s in self._admitted.items()
            if each.idle and not each.input_ended and each.lead_ms <= 0 and last_text_s <= silent_since_s
        ]
        return [each for _, each in sorted(silent, key=lambda pair: pair[0])[:missing]]

    def next_due_s(self) -> float | None:
        """Return the seconds until an idle utterance stops being load and makes room for the queue."""
        idle_left_s = [self._idle_left_s(each) for each in self._active() if each.idle] if self.waiting else []
        return min(idle_left_s, default=None)

    def retry_after_ms(self) -> float:
        """Estimate when the whole queue and one utterance more will have been admitted.

        By how much the admitted utterances have left to say, within `RETRY_MS`.
        """
        active = self._active()
        left_ms = sorted(self._left_ms(each) for each in active)
        must_end = max(0, len(active) - self.capacity) + len(self.waiting) + 1
        rounds, rest = divmod(must_end - 1, max(1, len(left_ms)))
        after_ms = rounds * self._typical_ms + (left_ms[rest] if left_ms else self._typical_ms)
        return round(min(max(after_ms, RETRY_MS[0]), RETRY_MS[1]))

    def _enter(self, utterance: Utterance) -> None:
        self._admitted[utterance] = self._now_s()

    def _active(self) -> Collection[Utterance]:
        """Admitted utterances that count as load."""
        idle_since_s = self._now_s() - IDLE_S
        return [
            each
            for each, last_text_s in self._admitted.items()
            if not each.over and (not each.idle or last_text_s > idle_since_s)
        ]

    def _idle_left_s(self, utterance: Utterance) -> float:
        return self._admitted[utterance] + IDLE_S - self._now_s()

    def _left_ms(self, utterance: Utterance) -> float:
        """Estimate the time until `utterance` stops being load. Speech is made as fast as it is played."""
        left_ms = utterance.max_frames_left * self._frame_ms * self._length_ratio
        if not utterance.input_ended:  # more text is coming: expect an utterance of typical length
            left_ms = max(left_ms, self._typical_ms - utterance.produced_ms, 1000 * self._idle_left_s(utterance))
        return left_ms


def _is_short(buffer: PlaybackBuffer, share: float) -> bool:
    """Whether a listener has less than this share of what it has while all is well."""
    if not buffer.settled:
        return buffer.lead_ms < buffer.near_underrun_ms
    return buffer.lead_ms < share * min(buffer.low_water_ms, USUAL_LOW_WATER_MS)

"""Who is let in. Bookkeeping of load, of the queue before it, and of when there will be room.

An utterance is load while it has something to say, and a moment longer: a writer who pauses comes back. Who has been
let in is not asked again.
"""

from collections import deque
from collections.abc import Callable, Collection

from sayline_tts.engine.errors import Full
from sayline_tts.engine.scheduling.cost_model import Costs
from sayline_tts.engine.scheduling.utterance import Status, Utterance

QUIET_S = 2.0  # without text, until an utterance is no load any more
USUAL_MS = 10_000.0  # of speech in one utterance, before any has ended
MEMORY = 0.1  # weight of an utterance that ends against all before it
RETRY_MS = (100.0, 60_000.0)  # bounds of what a newcomer is told


class Admission:
    """`capacity` None: as many as there are slots, or as many as `costs` say once they were measured."""

    def __init__(
        self, slots: int, max_waiting: int, capacity: int | None, costs: Costs, frame_ms: float,
        now_s: Callable[[], float],
    ) -> None:  # fmt: skip
        self.waiting: deque[Utterance] = deque()
        self._slots, self._max_waiting, self._fixed = slots, max_waiting, capacity
        self._costs, self._frame_ms, self._now_s = costs, frame_ms, now_s
        self._inside: dict[Utterance, float] = {}  # when each one that was let in was last seen with text
        self._usual_ms, self._spoken_share = USUAL_MS, 1.0

    @property
    def capacity(self) -> int:
        """How many may be load."""
        if self._fixed is not None:
            return min(self._fixed, self._slots)
        return self._costs.capacity(self._frame_ms, self._slots)

    @property
    def load(self) -> int:
        return len(self._busy())

    @property
    def room(self) -> bool:
        frames = sum(self._frame_ms / each.frame_ms for each in self._busy())  # at twice the speed, twice as many
        return len(self._inside) < self._slots and frames < self.capacity

    def ask(self, utterance: Utterance) -> bool:
        """Let in? Else it waits. Raises `Full`."""
        if self.room and not self.waiting:
            self.enter(utterance)
            return True
        if not utterance.waits or len(self.waiting) >= self._max_waiting:
            after_ms = self.retry_after_ms()
            waiting = f" and {len(self.waiting)} wait" if self.waiting else ""
            told = f"{len(self._inside)} voices speak{waiting}; this machine cannot do more"
            raise Full(f"{told}, try again in {after_ms / 1000:.1f} s", after_ms)
        self.waiting.append(utterance)
        return False

    def next(self) -> Utterance | None:
        """Let in the first who waits, if there is room."""
        first = next((each for each in self.waiting if not each.over), None)
        if first is not None and self.room:
            self.waiting.remove(first)
            self.enter(first)
            return first
        return None

    def enter(self, utterance: Utterance) -> None:
        self._inside[utterance] = self._now_s()

    def look(self) -> None:
        """See who has something to say. Before each step."""
        now_s = self._now_s()
        for utterance in self._inside:
            if not utterance.idle:
                self._inside[utterance] = now_s

    def leave(self, utterance: Utterance) -> None:
        """It is over."""
        if self._inside.pop(utterance, None) is None:
            self.waiting.remove(utterance)
        elif utterance.status is not Status.CANCELLED and (share := utterance.spoken_share) is not None:
            self._usual_ms += MEMORY * (utterance.produced_ms - self._usual_ms)
            self._spoken_share += MEMORY * (share - self._spoken_share)

    def place(self, utterance: Utterance) -> int | None:
        """1 is next."""
        return self.waiting.index(utterance) + 1 if utterance in self.waiting else None

    def next_due_s(self) -> float | None:
        """Until somebody who waits may be let in because somebody else has nothing to say."""
        quiet = [self._quiet_left_s(each) for each in self._busy() if each.idle] if self.waiting else []
        return min(quiet, default=None)

    def retry_after_ms(self) -> float:
        """When all who wait now, and one more, will have been let in, by what those inside have still to say."""
        busy = self._busy()
        left_ms = sorted(self._left_ms(each) for each in busy)
        must_leave = max(0, len(busy) - self.capacity) + len(self.waiting) + 1
        rounds, rest = divmod(must_leave - 1, max(1, len(left_ms)))
        after_ms = rounds * self._usual_ms + (left_ms[rest] if left_ms else self._usual_ms)
        return round(min(max(after_ms, RETRY_MS[0]), RETRY_MS[1]))

    def _busy(self) -> Collection[Utterance]:
        quiet_s = self._now_s() - QUIET_S
        return [each for each, seen_s in self._inside.items() if not each.over and (not each.idle or seen_s > quiet_s)]

    def _quiet_left_s(self, utterance: Utterance) -> float:
        return self._inside[utterance] + QUIET_S - self._now_s()

    def _left_ms(self, utterance: Utterance) -> float:
        """Until it is load no more: what it has to say is made as fast as it is heard."""
        left_ms = utterance.most_frames_left * self._frame_ms * self._spoken_share
        if not utterance.ended:  # more is coming, as much as usual
            left_ms = max(left_ms, self._usual_ms - utterance.produced_ms, 1000 * self._quiet_left_s(utterance))
        return left_ms

"""One thing being spoken: its voice, its segments and pauses, how far it is. Bookkeeping only: no tensor is touched."""

import math
from collections import deque
from collections.abc import Callable
from enum import Enum

from sayline_tts.engine.models.voice import Voice
from sayline_tts.engine.segment import Sampling, Segment, Silence

# Before speech begins, the end-of-speech logit of some voices crosses the threshold: it counts from this frame on.
FIRST_FRAME_OF_EOS = 6
# Of lead. One frame alone is soon played: who begins to speak comes first until so much lies ahead of his listener.
NEWCOMER_MS = 240.0
# So near to silence nobody waits for anybody.
SCARCE_MS = 120.0


class Status(Enum):
    WAITING = "waiting"  # for a slot
    RUNNING = "running"  # has a slot
    FINISHED = "finished"
    CANCELLED = "cancelled"
    FAILED = "failed"


LEGAL_MOVES = {
    Status.WAITING: {Status.RUNNING, Status.FINISHED, Status.CANCELLED, Status.FAILED},
    Status.RUNNING: {Status.FINISHED, Status.CANCELLED, Status.FAILED},
    Status.FINISHED: set[Status](),
    Status.CANCELLED: set[Status](),
    Status.FAILED: set[Status](),
}


class Utterance:
    """The engine's side of a context.

    `played_ms` tells how much of this has been heard; the difference to what was produced is the lead, and beyond
    `max_lead_ms` the utterance sits out. `sent_ms` tells how much has left for the listener (None: all that was
    produced): only what lies there can be played while the clock runs. `waits` says whether it queues where the engine
    is full. With `continues`, each segment goes on from where the last one ended instead of from the voice alone.
    """

    def __init__(
        self,
        voice: Voice,
        sampling: Sampling,
        *,
        frame_ms: float = 80.0,
        played_ms: Callable[[], float] = lambda: 0.0,
        sent_ms: Callable[[], float] | None = None,
        max_lead_ms: float = math.inf,
        continues: bool = False,
        waits: bool = True,
    ) -> None:
        self.voice, self.sampling, self.continues, self.waits = voice, sampling, continues, waits
        self.max_lead_ms = max_lead_ms
        self.produced_frames = 0
        self.frame_ms, self._played_ms = frame_ms, played_ms
        self._sent_ms = sent_ms or (lambda: self.produced_ms)
        self._status = Status.WAITING
        self._queued: deque[Segment | Silence] = deque()
        self._ended = False
        self._begins = True  # has come with text out of silence, and not yet a newcomer's lead
        self._segment: Segment | None = None  # being spoken
        self._segment_start_ms = 0.0
        self._allowed_frames = 0  # of all segments begun
        self._steps = 0  # of this segment
        self._eos_step: int | None = None
        self._silent_frames = 0  # of the silence that is first in the queue
        self._all_silent_frames = 0

    # What the owner says

    def add(self, part: Segment | Silence) -> None:
        assert not self._ended, "text after the end"
        assert not isinstance(part, Silence) or part.frames > 0, "a silence of no length"
        self._begins = self._begins or self.idle
        self._queued.append(part)

    def end(self) -> None:
        """No more text will come: the utterance finishes with what it has."""
        self._ended = True

    # What is so

    @property
    def status(self) -> Status:
        return self._status

    @property
    def over(self) -> bool:
        return not LEGAL_MOVES[self._status]

    @property
    def produced_ms(self) -> float:
        return self.produced_frames * self.frame_ms

    @property
    def lead_ms(self) -> float:
        return self.produced_ms - self._played_ms()

    @property
    def enough_ms(self) -> float:
        """Of lead: with less the utterance presses for a step, with more it can wait for others to step with."""
        return self.max_lead_ms / 2

    @property
    def scarce_ms(self) -> float:
        """Of lead: with less its listener is about to hear nothing."""
        return min(SCARCE_MS, self.enough_ms)

    @property
    def newcomer(self) -> bool:
        """Its listener hears nothing yet, or will not for long: nobody goes before it."""
        return self._begins and self.lead_ms < self._newcomer_ms

    def due_in_ms(self, lead_ms: float) -> float | None:
        """Until playing alone has brought the lead down to this. None: more has to be sent first."""
        over_ms = self.lead_ms - lead_ms
        return over_ms if over_ms <= self._sent_ms() - self._played_ms() else None

    @property
    def idle(self) -> bool:
        """Nothing left to speak for now."""
        return self._segment is None and not self._queued

    @property
    def complete(self) -> bool:
        return self._ended and self.idle

    @property
    def ready(self) -> bool:
        """May this row step now?"""
        return not isinstance(self._next, Silence) and self._wanted

    @property
    def silent(self) -> bool:
        """Is a frame of silence due now? It takes no step."""
        return isinstance(self._next, Silence) and self._wanted

    @property
    def ended(self) -> bool:
        """Has all its text come?"""
        return self._ended

    @property
    def most_frames_left(self) -> int:
        """Of the text that has come: more than this is not spoken."""
        begun = self._segment.max_frames - self._steps if self._segment else -self._silent_frames
        queued = (part.frames if isinstance(part, Silence) else part.max_frames for part in self._queued)
        return begun + sum(queued)

    @property
    def spoken_share(self) -> float | None:
        """Of the frames that its segments might have had. None: nothing was spoken."""
        spoken_frames = self.produced_frames - self._all_silent_frames
        return spoken_frames / self._allowed_frames if self._allowed_frames else None

    @property
    def next_segment(self) -> Segment | None:
        """The one that the next step begins; None where that goes on with what is being spoken."""
        return self._next if isinstance(self._next, Segment) else None

    @property
    def begun(self) -> bool:
        """Has its slot been prepared, by the first segment?"""
        return self._segment is not None or self._steps > 0

    @property
    def segment(self) -> Segment | None:
        return self._segment

    @property
    def watched_tokens(self) -> int:
        """Of the segment that is being spoken, where the model is asked which of them it looks at; else 0."""
        return len(self._segment.owners) if self._segment else 0

    @property
    def segment_start_ms(self) -> float:
        return self._segment_start_ms

    @property
    def least_ms(self) -> float:
        """Where the segment that is being spoken ends at the earliest, by what is known; exact once speech is over."""
        segment = self._segment
        if segment is None:
            return self.produced_ms
        eos_step = max(self._steps, FIRST_FRAME_OF_EOS) if self._eos_step is None else self._eos_step
        frames = min(segment.max_frames, eos_step + segment.frames_after_eos)
        return self._segment_start_ms + frames * self.frame_ms

    @property
    def said(self) -> bool:
        """Has the model ended the speech of this segment, or of the last one? The frames behind that are its tail."""
        return self._eos_step is not None

    @property
    def discard(self) -> bool:
        """The coming frame lies behind the end of speech: it only completes the model's memory."""
        return self._eos_step is not None and self._steps >= self._last_step

    @property
    def discard_on_eos(self) -> bool:
        """The coming frame is dropped if it is the one that ends speech."""
        return self._listens_for_eos and self._segment is not None and self._segment.frames_after_eos == 0

    # What the engine does

    def move(self, status: Status) -> None:
        assert status in LEGAL_MOVES[self._status], f"{self._status} cannot become {status}"
        self._status = status

    def begin_segment(self) -> Segment:
        segment = self._queued.popleft()
        assert isinstance(segment, Segment), "silence takes no step"
        self._segment, self._segment_start_ms = segment, self.produced_ms
        self._allowed_frames += segment.max_frames
        self._steps, self._eos_step = 0, None
        return segment

    def be_silent(self) -> Silence | None:
        """One frame of silence was made. Returns the silence if that was its last."""
        silence = self._next
        assert isinstance(silence, Silence), "not silent now"
        self._silent_frames, self._all_silent_frames = self._silent_frames + 1, self._all_silent_frames + 1
        self._produce(1)
        if self._silent_frames < silence.frames:
            return None
        self._silent_frames = 0
        self._queued.popleft()
        return silence

    def step(self, is_eos: bool) -> tuple[bool, Segment | None]:
        """One step was made. Returns whether its frame counts, and the segment if that was its last step."""
        segment = self._segment
        assert segment is not None, "a step without a segment"
        if is_eos and self._listens_for_eos:
            self._eos_step = self._steps
        kept = not self.discard
        self._steps += 1
        self._produce(kept)
        behind = 1 if self.continues else 0  # the model's memory takes in the frame that ends speech
        said = self._eos_step is not None and self._steps >= self._last_step + behind
        if not said and self._steps < segment.max_frames:
            return kept, None
        self._segment = None
        return kept, segment

    def _produce(self, frames: int) -> None:
        self.produced_frames += frames
        self._begins = self._begins and self.lead_ms < self._newcomer_ms

    @property
    def _next(self) -> Segment | Silence | None:
        """What comes behind what has been said; None while a segment is being spoken, or where nothing does."""
        return self._queued[0] if self._segment is None and self._queued else None

    @property
    def _wanted(self) -> bool:
        """Is there something to say, and a listener who needs it now?"""
        return not self.over and not self.idle and self.lead_ms < self.max_lead_ms

    @property
    def _newcomer_ms(self) -> float:
        return min(NEWCOMER_MS, self.max_lead_ms)

    @property
    def _listens_for_eos(self) -> bool:
        return self._eos_step is None and self._steps >= FIRST_FRAME_OF_EOS

    @property
    def _last_step(self) -> int:
        assert self._eos_step is not None
        assert self._segment is not None
        return self._eos_step + self._segment.frames_after_eos

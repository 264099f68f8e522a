"""One utterance: its voice, its segments and pauses, and its progress. Bookkeeping only: no tensor is touched."""

import math
from collections import deque
from collections.abc import Callable
from enum import Enum

from sayline_tts.engine.models.voice import Voice
from sayline_tts.engine.segment import Sampling, Segment, Silence

# Before speech begins, the end-of-speech logit of some voices crosses the threshold, so end of speech counts from this
# frame of a segment on.
FIRST_FRAME_OF_EOS = 6
# One frame alone is soon played: an utterance that starts to speak has priority until it has this much lead.
STARTUP_LEAD_MS = 240.0
# With less lead than this, a row steps at once and neither waits for other rows nor for the codec.
NEAR_UNDERRUN_MS = 120.0


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

    `played_ms` returns how much of the utterance has been played. Its lead is what was produced minus what was played;
    at `max_lead_ms` the utterance is paused. `sent_ms` returns how much has been sent to the listener (None: all that
    was produced): only that can be played while the clock runs. `may_queue`: wait for a slot while the engine is full,
    instead of being rejected. `continues`: each segment starts from the state at the end of the last one, instead of
    from the voice.
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
        may_queue: bool = True,
    ) -> None:
        self.voice, self.sampling, self.continues, self.may_queue = voice, sampling, continues, may_queue
        self.max_lead_ms = max_lead_ms
        self.produced_frames = 0
        self.frame_ms, self._played_ms = frame_ms, played_ms
        self._sent_ms = sent_ms or (lambda: self.produced_ms)
        self._status = Status.WAITING
        self._queued: deque[Segment | Silence] = deque()
        self._input_ended = False
        self._starting = True  # was idle when text came, and has not reached `STARTUP_LEAD_MS` since
        self._segment: Segment | None = None  # being spoken
        self._segment_start_ms = 0.0
        self._allowed_frames = 0  # `max_frames` of all segments begun
        self._steps = 0  # of this segment
        self._eos_step: int | None = None
        self._silent_frames = 0  # made of the silence that is first in the queue
        self._all_silent_frames = 0

    # Input

    def add(self, part: Segment | Silence) -> None:
        """Queue a segment or a pause."""
        assert not self._input_ended, "text after the end"
        assert not isinstance(part, Silence) or part.frames > 0, "a silence of no length"
        self._starting = self._starting or self.idle
        self._queued.append(part)

    def end(self) -> None:
        """Mark the end of input: the utterance finishes with what it has."""
        self._input_ended = True

    # State

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
        """Audio produced and not yet played."""
        return self.produced_ms - self._played_ms()

    @property
    def low_water_ms(self) -> float:
        """Lead at which the row wants a step. With more it can wait until other rows step too."""
        return self.max_lead_ms / 2

    @property
    def near_underrun_ms(self) -> float:
        """Lead below which the listener is about to run out of audio."""
        return min(NEAR_UNDERRUN_MS, self.low_water_ms)

    @property
    def awaiting_first_audio(self) -> bool:
        """Whether the listener has no audio yet, or too little to last: the row has priority."""
        return self._starting and self.lead_ms < self._startup_lead_ms

    def due_in_ms(self, lead_ms: float) -> float | None:
        """Return the time until playback alone brings the lead down to `lead_ms`; None if more must be sent first."""
        over_ms = self.lead_ms - lead_ms
        return over_ms if over_ms <= self._sent_ms() - self._played_ms() else None

    @property
    def idle(self) -> bool:
        """Whether there is nothing left to speak for now."""
        return self._segment is None and not self._queued

    @property
    def complete(self) -> bool:
        return self._input_ended and self.idle

    @property
    def ready(self) -> bool:
        """Whether this row may step now. Every reason to leave it out is here."""
        return not isinstance(self._next, Silence) and self._below_max_lead

    @property
    def silence_due(self) -> bool:
        """Whether a frame of silence is due now. It takes no step."""
        return isinstance(self._next, Silence) and self._below_max_lead

    @property
    def input_ended(self) -> bool:
        return self._input_ended

    @property
    def max_frames_left(self) -> int:
        """Upper bound of the frames still to be made of all queued input."""
        current = self._segment.max_frames - self._steps if self._segment else -self._silent_frames
        queued = (part.frames if isinstance(part, Silence) else part.max_frames for part in self._queued)
        return current + sum(queued)

    @property
    def length_ratio(self) -> float | None:
        """Spoken frames as a share of the `max_frames` of all segments begun; None if there were none."""
        spoken_frames = self.produced_frames - self._all_silent_frames
        return spoken_frames / self._allowed_frames if self._allowed_frames else None

    @property
    def next_segment(self) -> Segment | None:
        """The segment that the next step begins; None if that step continues the current one."""
        return self._next if isinstance(self._next, Segment) else None

    @property
    def slot_initialized(self) -> bool:
        """Whether the first segment has set up the state of the slot."""
        return self._segment is not None or self._steps > 0

    @property
    def segment(self) -> Segment | None:
        """The segment that is being spoken."""
        return self._segment

    @property
    def attention_tokens(self) -> int:
        """Tokens of the current segment if its attention is to be captured for word timestamps, else 0."""
        return len(self._segment.word_ids) if self._segment else 0

    @property
    def segment_start_ms(self) -> float:
        return self._segment_start_ms

    @property
    def earliest_end_ms(self) -> float:
        """Lower bound of the end of the current segment; exact once speech has ended."""
        segment = self._segment
        if segment is None:
            return self.produced_ms
        eos_step = max(self._steps, FIRST_FRAME_OF_EOS) if self._eos_step is None else self._eos_step
        frames = min(segment.max_frames, eos_step + segment.frames_after_eos)
        return self._segment_start_ms + frames * self.frame_ms

    @property
    def speech_ended(self) -> bool:
        """Whether the model has ended the speech of the current or last segment. Its tail may still follow."""
        return self._eos_step is not None

    @property
    def discard(self) -> bool:
        """Whether the next frame lies behind the end of speech and only completes the state of the model."""
        return self._eos_step is not None and self._steps >= self._last_step

    @property
    def discard_on_eos(self) -> bool:
        """Whether the next frame is dropped if it turns out to end speech."""
        return self._eos_counts and self._segment is not None and self._segment.frames_after_eos == 0

    # Transitions, made by scheduler and engine

    def move(self, status: Status) -> None:
        assert status in LEGAL_MOVES[self._status], f"{self._status} cannot become {status}"
        self._status = status

    def begin_segment(self) -> Segment:
        """Take the next segment from the queue; the next step prefills it."""
        segment = self._queued.popleft()
        assert isinstance(segment, Segment), "silence takes no step"
        self._segment, self._segment_start_ms = segment, self.produced_ms
        self._allowed_frames += segment.max_frames
        self._steps, self._eos_step = 0, None
        return segment

    def step_silence(self) -> Silence | None:
        """Account for one frame of silence. Returns the silence if that was its last frame."""
        silence = self._next
        assert isinstance(silence, Silence), "no silence is due"
        self._silent_frames, self._all_silent_frames = self._silent_frames + 1, self._all_silent_frames + 1
        self._produce(1)
        if self._silent_frames < silence.frames:
            return None
        self._silent_frames = 0
        self._queued.popleft()
        return silence

    def step(self, is_eos: bool) -> tuple[bool, Segment | None]:
        """Account for one step. Returns whether its frame is kept, and the segment if that was its last step."""
        segment = self._segment
        assert segment is not None, "a step without a segment"
        if is_eos and self._eos_counts:
            self._eos_step = self._steps
        kept = not self.discard
        self._steps += 1
        self._produce(kept)
        extra_steps = 1 if self.continues else 0  # the state takes in the frame that ends speech
        speech_ended = self._eos_step is not None and self._steps >= self._last_step + extra_steps
        if not speech_ended and self._steps < segment.max_frames:
            return kept, None
        self._segment = None
        return kept, segment

    def _produce(self, frames: int) -> None:
        self.produced_frames += frames
        self._starting = self._starting and self.lead_ms < self._startup_lead_ms

    @property
    def _next(self) -> Segment | Silence | None:
        """The first part of the queue; None while a segment is being spoken, or if the queue is empty."""
        return self._queued[0] if self._segment is None and self._queued else None

    @property
    def _below_max_lead(self) -> bool:
        """Whether there is something to say and the listener needs it now."""
        return not self.over and not self.idle and self.lead_ms < self.max_lead_ms

    @property
    def _startup_lead_ms(self) -> float:
        return min(STARTUP_LEAD_MS, self.max_lead_ms)

    @property
    def _eos_counts(self) -> bool:
        """Whether end of speech is accepted at the next frame."""
        return self._eos_step is None and self._steps >= FIRST_FRAME_OF_EOS

    @property
    def _last_step(self) -> int:
        assert self._eos_step is not None
        assert self._segment is not None
        return self._eos_step + self._segment.frames_after_eos

"""One utterance: its voice, its segments and pauses, and its progress. Bookkeeping only: no tensor is touched."""

import math
from collections import deque
from enum import Enum

import numpy as np

from sayline_tts.engine.models.voice import Voice
from sayline_tts.engine.scheduling.playback_buffer import PlaybackBuffer, PlaybackClock, PlaybackPosition
from sayline_tts.engine.scheduling.resumption import GivenFrame, NoisePosition, Resumption
from sayline_tts.engine.scheduling.segment_progress import Rewind, SegmentProgress
from sayline_tts.engine.segment import Sampling, Segment, Silence


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

    `playback`: where its listener is; None: nothing is played. At `max_lead_ms` of audio ahead of that the utterance is
    paused. `frame_ms`: duration of a frame for this listener, less than the model's at a higher speed. `may_queue`:
    wait for a slot while the engine is full, instead of being rejected. `continues`: each segment starts from the state
    at the end of the last one, instead of from the voice. `guarded`: look for faults of speech, and have frames that
    are not decoded yet made again.

    It has more than 20 methods, because most are one-line properties by which the scheduler, admission and the engine
    ask for one state; progress within a segment and the playback buffer are classes of their own.
    """

    def __init__(
        self,
        voice: Voice,
        sampling: Sampling,
        *,
        frame_ms: float = 80.0,
        playback: PlaybackClock | None = None,
        max_lead_ms: float = math.inf,
        continues: bool = False,
        may_queue: bool = True,
        guarded: bool = False,
    ) -> None:
        self.voice, self.sampling, self.continues, self.may_queue = voice, sampling, continues, may_queue
        self.buffer = PlaybackBuffer(playback or PlaybackPosition(), frame_ms, max_lead_ms)
        self.progress: SegmentProgress | None = None  # of the current or last segment; None: the slot is not set up
        self.input_ended = False
        self.retries = 0  # frames that had to be made again
        self.noise = self.segment_noise = NoisePosition(sampling.seed)  # now; at the begin of the current segment
        self.resumption: Resumption | None = None  # where another engine left it
        self._given: deque[GivenFrame] = deque()  # of the first segment
        self._guarded = guarded
        self._status = Status.WAITING
        self._queued: deque[Segment | Silence] = deque()
        self._allowed_frames = 0  # `max_frames` of all segments begun
        self._silent_frames = 0  # made of the silence that is first in the queue
        self._all_silent_frames = 0

    def resume(self, resumption: Resumption) -> None:
        """Go on where another engine left it. Before anything is added."""
        self.resumption, self.noise, self._given = resumption, resumption.noise, deque(resumption.given)
        self.buffer.produced_frames = self._all_silent_frames = resumption.frames  # none of them spoken here

    # Input

    def add(self, part: Segment | Silence) -> None:
        """Queue a segment or a pause."""
        assert not self.input_ended, "text after the end"
        assert not isinstance(part, Silence) or part.frames > 0, "a silence of no length"
        if self.idle:
            self.buffer.restart()
        self._queued.append(part)

    def grow(self, segment: Segment) -> None:
        """Replace the open segment that was added last by a longer version of it, open or closed."""
        if self._queued:
            last = self._queued.pop()
            assert isinstance(last, Segment), "a pause does not grow"
            assert last.open, "a closed segment does not grow"
            self._queued.append(segment)
        else:
            assert self.progress is not None, "nothing was added"
            self.progress.grow(segment)

    def end(self) -> None:
        """Mark the end of input: the utterance finishes with what it has."""
        self.input_ended = True

    # State

    @property
    def status(self) -> Status:
        return self._status

    @property
    def over(self) -> bool:
        return not LEGAL_MOVES[self._status]

    @property
    def frame_ms(self) -> float:
        return self.buffer.frame_ms

    @property
    def produced_ms(self) -> float:
        return self.buffer.produced_ms

    @property
    def lead_ms(self) -> float:
        """Audio produced and not yet played."""
        return self.buffer.lead_ms

    @property
    def idle(self) -> bool:
        """Whether there is nothing left to speak for now."""
        return self.segment is None and not self._queued

    @property
    def complete(self) -> bool:
        return self.input_ended and self.idle

    @property
    def ready(self) -> bool:
        """Whether this row may step now. Every reason to leave it out is here."""
        return self._wants_audio and not isinstance(self._next, Silence) and not self.awaits_text

    @property
    def silence_due(self) -> bool:
        """Whether a frame of silence is due now. It takes no step."""
        return self._wants_audio and isinstance(self._next, Silence)

    @property
    def awaits_text(self) -> bool:
        """Whether too few words of an open segment lie ahead of the voice."""
        if self.segment is not None:
            assert self.progress is not None
            return self.progress.awaits_text
        first = self.next_segment
        return first is not None and first.open and len(first.words) <= first.lookahead_words

    @property
    def words_until_wait(self) -> int:
        """How many words of an open segment the voice can begin before it has to wait for text."""
        return self.progress.words_until_wait if self.segment is not None and self.progress is not None else 0

    @property
    def segment(self) -> Segment | None:
        """The segment that is being spoken."""
        return self.progress.segment if self.progress is not None and not self.progress.over else None

    @property
    def next_segment(self) -> Segment | None:
        """The segment that the next step begins; None if that step continues the current one."""
        return self._next if isinstance(self._next, Segment) else None

    @property
    def parts(self) -> tuple[Segment | Silence, ...]:
        """What is being spoken, in its newest version, and what is queued."""
        current = (self.progress.newest,) if self.segment is not None and self.progress is not None else ()
        return (*current, *self._queued)

    @property
    def silent_frames(self) -> int:
        """Frames made of the silence that is first in the queue."""
        return self._silent_frames

    @property
    def queued_parts(self) -> int:
        """Segments and pauses that have not been begun; a pause counts until it is over."""
        return len(self._queued)

    @property
    def max_frames_left(self) -> int:
        """Upper bound of the frames still to be made of all queued input."""
        current = self.progress.max_frames_left if self.progress else 0
        queued = (part.frames if isinstance(part, Silence) else part.max_frames for part in self._queued)
        return current - self._silent_frames + sum(queued)

    @property
    def length_ratio(self) -> float | None:
        """Spoken frames as a share of the `max_frames` of all segments begun; None if there were none."""
        spoken_frames = self.buffer.produced_frames - self._all_silent_frames
        return spoken_frames / self._allowed_frames if self._allowed_frames else None

    @property
    def earliest_end_ms(self) -> float:
        """Lower bound of the end of the current segment; exact once speech has ended."""
        if self.progress is None or self.progress.over:
            return self.produced_ms
        return self.progress.start_ms + self.progress.min_frames * self.frame_ms

    # Transitions, made by scheduler and engine

    def move(self, status: Status) -> None:
        assert status in LEGAL_MOVES[self._status], f"{self._status} cannot become {status}"
        self._status = status

    def take_part(self) -> Segment | Silence:
        """Take the next part from the queue of an utterance whose audio is not made by the engine."""
        return self._queued.popleft()

    def begin_segment(self) -> SegmentProgress:
        """Take the next segment from the queue; the next step prefills it."""
        segment = self._queued.popleft()
        assert isinstance(segment, Segment), "silence takes no step"
        self._allowed_frames += segment.max_frames
        self.segment_noise = self.noise
        self.progress = SegmentProgress(segment, self.produced_ms, self.continues)
        return self.progress

    def take_given(self) -> GivenFrame | None:
        """Return what the next step has to make, once; None: it makes a new frame."""
        return self._given.popleft() if self._given else None

    def extend_segment(self) -> int:
        """Continue the segment with its newest text. Returns its frames so far, which the next step prefills too."""
        assert self.progress is not None, "no segment to extend"
        self._allowed_frames += self.progress.newest.max_frames - self.progress.segment.max_frames
        return self.progress.extend()

    @property
    def guarded(self) -> bool:
        """Whether the segment that is being spoken, or was last, is watched for faults: its text is whole."""
        if not self._guarded or self.continues or self.progress is None:
            return False
        segment = self.progress.segment
        return bool(segment.word_ids) and not segment.open

    @property
    def guards(self) -> bool:
        """Whether faults of speech are looked for where they can be found."""
        return self._guarded

    @property
    def holds(self) -> bool:
        """Whether the next frame is to be held back before the codec."""
        return self.guarded and self.buffer.may_hold

    def step(
        self, is_eos: bool, attention: np.ndarray | None = None, held: bool = False, given: bool = False
    ) -> tuple[bool, Segment | None]:
        """Account for one step, with attention `[tokens]` if it was captured. `held`: its frame is held back. `given`:
        another engine has made it.

        Returns whether its frame is kept, and the segment if that was its last step.
        """
        assert self.progress is not None, "a step without a segment"
        self.noise = self.noise.next()
        kept = self.progress.step(is_eos, attention, given)
        if held:
            self.buffer.hold(kept)
        else:
            self.buffer.produce(kept)
        return kept, self.progress.segment if self.progress.over else None

    def rewind(self, rewind: Rewind, held: int) -> None:
        """Go back in the segment. `held`: how many of the forgotten frames were to be heard."""
        assert self.progress is not None, "no segment to go back in"
        self.progress.rewind(rewind)
        self.buffer.hold(-held)
        if rewind.seed is not None:
            self.noise = NoisePosition(rewind.seed)
        self.retries += rewind.frames

    def step_silence(self) -> Silence | None:
        """Account for one frame of silence. Returns the silence if that was its last frame."""
        silence = self._next
        assert isinstance(silence, Silence), "no silence is due"
        self._silent_frames, self._all_silent_frames = self._silent_frames + 1, self._all_silent_frames + 1
        self.buffer.produce(1)
        if self._silent_frames < silence.frames:
            return None
        self._silent_frames = 0
        self._queued.popleft()
        return silence

    @property
    def _next(self) -> Segment | Silence | None:
        """The first part of the queue; None while a segment is being spoken, or if the queue is empty."""
        return self._queued[0] if self.segment is None and self._queued else None

    @property
    def _wants_audio(self) -> bool:
        """Whether there is something to say and the listener needs it now."""
        return not self.over and not self.idle and not self.buffer.full

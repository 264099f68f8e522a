"""The listener's buffer as the engine knows it: audio produced, sent and played, and what follows for scheduling."""

import math
from dataclasses import dataclass
from typing import Protocol

# One frame alone is soon played: an utterance that starts to speak has priority until it has this much lead.
STARTUP_LEAD_MS = 240.0
# With less lead than this, a row steps at once and neither waits for other rows nor for the codec.
NEAR_UNDERRUN_MS = 120.0
# Frames that may be held back before the codec, so that a fault is seen before they are heard.
MAX_HELD_FRAMES = 6


class PlaybackClock(Protocol):
    """Where the listener of an utterance is, in ms of the utterance. The engine reads it, the server advances it."""

    @property
    def played_ms(self) -> float:
        """Audio that has been played. May grow with time."""

    @property
    def sent_ms(self) -> float:
        """Audio that has been sent: only that can be played while time passes. `math.inf`: all that is produced."""


@dataclass
class PlaybackPosition:
    """A playback clock that stands until it is set. By default nothing is played."""

    played_ms: float = 0.0
    sent_ms: float = math.inf


class PlaybackBuffer:
    """Audio produced and not yet played: the lead, and its marks.

    At `max_lead_ms` the utterance is paused. `frame_ms`: duration of one frame for this listener.
    """

    def __init__(self, clock: PlaybackClock, frame_ms: float, max_lead_ms: float) -> None:
        self.frame_ms, self.max_lead_ms = frame_ms, max_lead_ms
        self.produced_frames = 0
        self.held_frames = 0  # made, and held back before the codec
        self.clock = clock
        self._starting = True  # was idle when text came, and has not reached the startup lead since
        self.settled = False  # has reached the low-water mark since then

    @property
    def produced_ms(self) -> float:
        return self.produced_frames * self.frame_ms

    @property
    def lead_ms(self) -> float:
        return self.produced_ms - self.clock.played_ms

    @property
    def full(self) -> bool:
        return self.lead_ms >= self.max_lead_ms

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
        return self._starting and self.lead_ms < min(STARTUP_LEAD_MS, self.max_lead_ms)

    @property
    def holdable_frames(self) -> int:
        """How many frames may be held back: with them and the two of a full batch the lead stays below its limit."""
        return max(0, int(min(MAX_HELD_FRAMES + 2, self.low_water_ms / self.frame_ms)) - 2)

    @property
    def may_hold(self) -> bool:
        """Whether the next frame may be held back: the listener has enough, or earlier ones are held already."""
        return self.held_frames > 0 or (self.holdable_frames > 0 and self.lead_ms >= STARTUP_LEAD_MS)

    @property
    def must_release(self) -> bool:
        """Whether the first frame that is held back has to be decoded now."""
        return self.held_frames > self.holdable_frames or (self.held_frames > 0 and self.lead_ms < STARTUP_LEAD_MS)

    def due_in_ms(self, lead_ms: float) -> float | None:
        """Return the time until playback alone brings the lead down to `lead_ms`; None if more must be sent first."""
        over_ms = self.lead_ms - lead_ms
        return over_ms if over_ms <= self.clock.sent_ms - self.clock.played_ms else None

    def restart(self) -> None:
        """Text comes after the utterance was idle: it awaits first audio if the lead is small."""
        self._starting, self.settled = True, False

    def hold(self, frames: int) -> None:
        """Account for frames that are held back; negative: that were thrown away."""
        self.held_frames += frames

    def release(self) -> None:
        """Account for a frame that was held back and is decoded now."""
        self.held_frames -= 1
        self.produce(1)

    def produce(self, frames: int) -> None:
        """Account for frames that were made."""
        self.produced_frames += frames
        self._starting = self.awaiting_first_audio
        self.settled = self.settled or self.lead_ms >= self.low_water_ms

"""A front's record of an utterance that is spoken elsewhere.

It follows the engine's steps with the same bookkeeping: the words, the parts and the lead are known here as if it were
spoken here. It keeps what another engine needs to go on: the latents of the current segment, and those that the codec
remembers. So when an engine dies, nothing is lost that a listener has, and nothing is told twice.
"""

import contextvars
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future

import numpy as np

from sayline_tts.engine.engine import Event, FrameSpoken, SegmentSpoken, SilenceSpoken, UtteranceEnded
from sayline_tts.engine.scheduling.resumption import NoisePosition
from sayline_tts.engine.scheduling.utterance import Status, Utterance
from sayline_tts.engine.segment import Segment, Silence
from sayline_tts.engine.timing.word_timestamps import TimestampFn, WordTimestamps, no_words
from sayline_tts.server.fleet import wire
from sayline_tts.server.fleet.wire import WireError
from sayline_tts.server.logs import trace_id

LATE_FRAMES = 2  # of an engine that owes some; one is under way
MAX_POSITION_ERROR_MS = 20.0  # by which the engine may misjudge what has been played, before it is told


class RemoteUtterance:
    """`emit` gets what the engine makes, as events of an engine in this process. `resolve` completes the future of a
    frame, in order for each utterance; `history_frames`: what the codec remembers.
    """

    def __init__(
        self,
        utterance: Utterance,
        words: WordTimestamps,
        emit: Callable[[Event], None],
        resolve: Callable[["Future[np.ndarray]", np.ndarray], object],
        silence: np.ndarray,
        history_frames: int,
    ) -> None:
        self.utterance, self._words, self._emit, self._resolve = utterance, words, emit, resolve
        self._silence = silence  # one frame
        self.log_context = contextvars.copy_context()  # log records then name its session and trace
        self.id = 0  # on the engine that it is on now
        self.kind: str | None = None  # of the engine that it was on last; None: it has not begun
        self._history: deque[bytes] = deque(maxlen=history_frames)  # latents, also those of the current segment
        self._given: list[tuple[bytes, bool]] = []  # of the current segment: latent, and whether speech ended
        self._decoded_frames = 0
        self._spoken_parts = 0
        self._sent: deque[list[Segment | Silence]] = deque()  # versions of each part that the engine has been sent
        self._told_end = False
        self._position: tuple[float, float, float] | None = None  # as told: sent, played, when

    # To the engine

    def start(self, number: int, kind: str, voice: bytes) -> wire.Start:
        """Begin, or go on, on another engine, which is of this kind. All parts are sent anew."""
        utterance = self.utterance
        self.id, self.kind = number, kind
        self._sent.clear()
        self._told_end, self._position = False, None
        if utterance.status is Status.WAITING:
            utterance.move(Status.RUNNING)
        return wire.Start(
            number, voice, utterance.sampling, utterance.frame_ms, utterance.buffer.max_lead_ms,
            utterance.guards, self._state(), self.log_context.run(trace_id),
        )  # fmt: skip

    @property
    def begun(self) -> bool:
        """Whether any of it has been made."""
        return self.utterance.buffer.produced_frames > 0

    @property
    def is_owed(self) -> bool:
        """Whether the engine should have made more by now: the lead is frames below the mark at which it makes them."""
        utterance, buffer = self.utterance, self.utterance.buffer
        return not utterance.idle and buffer.lead_ms < buffer.low_water_ms - LATE_FRAMES * buffer.frame_ms

    @property
    def between_parts(self) -> bool:
        """Whether it can move to another engine without a step made twice."""
        return self.utterance.segment is None

    def new_parts(self) -> list[wire.Part]:
        """What the engine has not been told of the text."""
        found = []
        for place, part in enumerate(self.utterance.parts):
            if place == len(self._sent):
                self._sent.append([])
            if not self._sent[place] or self._sent[place][-1] is not part:
                found.append(self._part(place, part))
                self._sent[place].append(part)
        return found

    def new_end(self) -> bool:
        """Whether the input has ended and the engine has not been told."""
        tell = self.utterance.input_ended and not self._told_end
        self._told_end = self.utterance.input_ended
        return tell

    def new_position(self, now_ms: float) -> wire.Position | None:
        """Where the listener is, if the engine cannot know it."""
        clock = self.utterance.buffer.clock
        sent_ms, played_ms = clock.sent_ms, clock.played_ms
        if self._position is not None:
            told_sent_ms, told_played_ms, told_at_ms = self._position
            assumed_ms = min(told_sent_ms, told_played_ms + now_ms - told_at_ms)
            if sent_ms == told_sent_ms and abs(played_ms - assumed_ms) <= MAX_POSITION_ERROR_MS:
                return None
        self._position = sent_ms, played_ms, now_ms
        return wire.Position(self.id, sent_ms, played_ms)

    def _part(self, place: int, part: Segment | Silence) -> wire.Part:
        index = self._spoken_parts + place
        if isinstance(part, Segment):
            return wire.Part(self.id, index, part)
        return wire.Part(self.id, index, None, part.frames - (0 if place else self.utterance.silent_frames))

    def _state(self) -> wire.State | None:
        utterance = self.utterance
        if not utterance.buffer.produced_frames:
            return None
        noise = utterance.segment_noise if utterance.segment is not None else utterance.noise
        return wire.State(
            utterance.buffer.produced_frames - len(self._given),
            noise.seed,
            noise.draws,
            b"".join(latent for latent, _ in self._given),
            [is_eos for _, is_eos in self._given],
            self._decoded_frames,
            b"".join(self._history),
        )

    # From the engine

    def on_frame(self, frame: wire.Frame) -> None:
        utterance = self.utterance
        if not self._sent or not 0 < frame.version <= len(self._sent[0]):
            raise WireError("a frame of a text that was not sent")
        segment = self._sent[0][frame.version - 1]
        if not isinstance(segment, Segment):
            raise WireError("a frame of a pause")
        progress = utterance.progress
        if progress is None or progress.over:
            progress = utterance.begin_segment()
        if segment is not progress.segment:
            progress.follow(segment)
        attention = wire.from_bytes(frame.attention)
        utterance.step(frame.is_eos, attention, given=True)
        utterance.noise, utterance.retries = NoisePosition(frame.seed, frame.draws), frame.retries
        self._history.append(frame.latent)
        self._given.append((frame.latent, frame.is_eos))
        self._decoded_frames += 1
        words = self._words.step(utterance, progress, attention)
        if segment.open and attention is None:
            progress.word = self._words.estimated_word(utterance, progress)
        audio: Future[np.ndarray] = Future()
        self._emit(FrameSpoken(utterance, audio, words))
        self._resolve(audio, np.frombuffer(frame.pcm, np.float32))
        if progress.over:
            self._end_segment(segment, progress.start_ms)

    def on_segment_end(self, end: wire.SegmentEnd) -> None:
        """Also after the frame that has ended the segment."""
        utterance, progress = self.utterance, self.utterance.progress
        if progress is not None and not progress.over:
            attention = wire.from_bytes(end.attention)
            utterance.step(True, attention, given=True)
            if not progress.over:
                raise WireError("a segment ends before its speech does")
            words = self._words.step(utterance, progress, attention)
            self._end_segment(progress.segment, progress.start_ms, words)
        utterance.noise = NoisePosition(end.seed, end.draws)

    def on_silent_frame(self) -> None:
        utterance = self.utterance
        if not utterance.parts or not isinstance(utterance.parts[0], Silence):
            raise WireError("a silent frame outside of a pause")
        silence = utterance.step_silence()
        audio: Future[np.ndarray] = Future()
        self._emit(FrameSpoken(utterance, audio))
        self._resolve(audio, self._silence)
        if silence is not None:
            self._end_part()
            self._emit(SilenceSpoken(utterance, silence))

    def on_ended(self, status: Status) -> None:
        self.utterance.move(status)
        self._words.discard(self.utterance)
        self._emit(UtteranceEnded(self.utterance, status, None))

    def cancel(self) -> None:
        """Its listener has gone."""
        self._words.discard(self.utterance)
        if not self.utterance.over:
            self.utterance.move(Status.CANCELLED)

    def _end_segment(self, segment: Segment, start_ms: float, words: TimestampFn = no_words) -> None:
        self._end_part()
        self._emit(SegmentSpoken(self.utterance, segment, start_ms, self.utterance.produced_ms, words))

    def _end_part(self) -> None:
        self._given.clear()
        self._spoken_parts += 1
        self._sent.popleft()

"""Deliver the events of one utterance to its listener, in order."""

import asyncio
import contextvars
import logging
import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

import numpy as np

from sayline_tts.engine.audio.loudness import amplify
from sayline_tts.engine.audio.onset import fade_in
from sayline_tts.engine.engine import Event, FrameSpoken, SegmentSpoken, SilenceSpoken, UtteranceEnded
from sayline_tts.engine.scheduling.utterance import Status, Utterance
from sayline_tts.engine.segment import Segment, Silence
from sayline_tts.engine.timing.word_time_estimator import WordTime
from sayline_tts.server.synthesis.timeline import Timeline

if TYPE_CHECKING:
    from sayline_tts.server.synthesis.repeat_cache import Recorder

log = logging.getLogger(__name__)

Encoded = TypeVar("Encoded")  # what the listener encodes a frame to


class Listener(Protocol[Encoded]):
    """Receives what the engine makes of one utterance, on the event loop. `on_ended` is the last call.

    Only `encode` and `end_part` run elsewhere: in order, on the thread that decoded the frame, so that expensive
    encoding never blocks the loop.
    """

    def encode(self, pcm: np.ndarray) -> Encoded:
        """Encode one frame."""

    def end_part(self) -> Encoded:
        """Return what the encoder still holds after the last frame of a segment or a pause."""

    def on_queue_position(self, position: int | None) -> None:
        """The utterance waits for admission; 1 is next. None: it waited and has been admitted."""

    def on_frame(self, encoded: Encoded) -> None:
        """`encode` has returned this."""

    def on_part_end(self, encoded: Encoded) -> None:
        """`end_part` has returned this. Precedes `on_segment` or `on_silence`."""

    def on_word(self, time: WordTime) -> None:
        """A word begins or ends in the next frame or after it."""

    def on_segment(self, segment: Segment, start_ms: float, end_ms: float) -> None: ...

    def on_silence(self, silence: Silence) -> None: ...

    def on_ended(self, status: Status) -> None: ...


@dataclass(slots=True, eq=False)
class _Pending:
    """An event, and what was computed from it off the loop. `then` runs as soon as that is done."""

    event: Event
    done: bool = False
    words: list[WordTime] = field(default_factory=list)  # to report before the event
    pcm: np.ndarray | None = None  # of a frame
    encoded: Any = None
    error: Exception | None = None
    then: Callable[[], None] | None = None


class OutputStream:
    """Passes on each frame as soon as it is encoded; later events wait for it.

    An error in decoding, encoding or the listener ends this stream alone. `on_closed` is called once.
    """

    def __init__(
        self,
        utterance: Utterance,
        listener: Listener[Any],
        on_closed: Callable[["OutputStream"], None],
        recorder: "Recorder | None" = None,
        gain: float = 1.0,
    ) -> None:
        """`gain`: a factor for all samples."""
        self.utterance, self.listener, self._recorder = utterance, listener, recorder
        self.queue_position: int | None = None
        self.timeline = Timeline(asyncio.get_running_loop().time())
        self._on_closed, self._gain = on_closed, gain
        self.on_reclaim: Callable[[], None] = lambda: None  # others wait for its slot
        self._loop = asyncio.get_running_loop()
        self._context = contextvars.copy_context()  # log records then name the session
        self._pending: deque[_Pending] = deque()
        self._newest: _Pending | None = None
        self._lock = threading.Lock()  # guards `done` and `then`, which both threads use
        self._closed = False
        self._has_begun = False  # speech; only the thread that decodes uses it
        self.waiting_since: float | None = None  # loop time; a frame has been generated and is not encoded yet

    @property
    def closed(self) -> bool:
        return self._closed

    def add(self, event: Event) -> None:
        pending, previous = _Pending(event), self._newest
        self._pending.append(pending)
        self._newest = pending
        match event:
            case FrameSpoken(audio=audio):
                now_s = self._loop.time()
                if self.waiting_since is None:
                    self.waiting_since = now_s
                if self.timeline.stepped_s is None:
                    self.timeline.stepped_s = now_s
                self.timeline.last_step_s = now_s
                audio.add_done_callback(partial(self._encode, pending))
            case SegmentSpoken() | SilenceSpoken():
                self._run_after(previous, partial(self._encode, pending))
                self._deliver()
            case _:
                pending.done = True
                self._deliver()

    def set_queue_position(self, position: int | None) -> None:
        if position is None:
            self.timeline.admitted_s = self._loop.time()
        if position != self.queue_position:
            self.listener.on_queue_position(position)
        self.queue_position = position

    def close(self) -> None:
        """Stop calling the listener, `on_ended` included. Idempotent."""
        if not self._closed:
            self._closed = True
            self._on_closed(self)

    def finish(self, status: Status) -> None:
        """Make `on_ended` the listener's last call."""
        if not self._closed:
            self.close()
            self.listener.on_ended(status)

    def _run_after(self, previous: _Pending | None, run: Callable[[], None]) -> None:
        """Run now, or on the decoder thread once `previous` is done; a later frame is not encoded before that."""
        with self._lock:
            if previous is not None and not previous.done:
                previous.then = run
                return
        run()

    def _encode(self, pending: _Pending, _: object = None) -> None:
        """Encode a frame, or flush the encoder after a part.

        Frames run this on the decoder thread, which decodes the slot's next frame afterwards; so they stay in order.
        """
        if self._closed:
            return
        try:
            match pending.event:
                case FrameSpoken(audio=audio, words=words):
                    pcm = audio.result()
                    if not self._has_begun and pcm.any():
                        pcm, self._has_begun = fade_in(pcm), True
                    if self.timeline.decoded_s is None:
                        self.timeline.decoded_s = self._loop.time()
                    pending.words = words(pcm)
                    pending.pcm = pcm = pcm if self._gain == 1 else amplify(pcm, self._gain)
                    pending.encoded = self.listener.encode(pcm)
                    if self.timeline.encoded_s is None:
                        self.timeline.encoded_s = self._loop.time()
                case SegmentSpoken(words=words):
                    pending.words, pending.encoded = words(None), self.listener.end_part()
                case _:
                    pending.encoded = self.listener.end_part()
        except Exception as error:
            pending.error = error
        with self._lock:
            pending.done = True
            then = pending.then
        if then is not None:
            then()
        self._loop.call_soon_threadsafe(self._deliver)

    def _deliver(self) -> None:
        while self._pending and not self._closed:
            if not self._pending[0].done:
                self.waiting_since = self._loop.time()
                return
            self._notify(self._pending.popleft())
        self.waiting_since = None

    def _notify(self, pending: _Pending) -> None:
        listener = self.listener
        try:
            if pending.error is not None:
                raise pending.error
            self._record(pending)
            for time in pending.words:
                listener.on_word(time)
            match pending.event:
                case FrameSpoken():
                    listener.on_frame(pending.encoded)
                case SegmentSpoken(segment=segment, start_ms=start_ms, end_ms=end_ms):
                    listener.on_part_end(pending.encoded)
                    listener.on_segment(segment, start_ms, end_ms)
                case SilenceSpoken(silence=silence):
                    listener.on_part_end(pending.encoded)
                    listener.on_silence(silence)
                case UtteranceEnded(status=status):
                    self.finish(status)
        except Exception:
            self._context.run(log.exception, "a frame or its listener failed; its utterance ends, others continue")
            self.finish(Status.FAILED)

    def _record(self, pending: _Pending) -> None:
        if (recorder := self._recorder) is None:
            return
        match pending.event:
            case FrameSpoken():
                assert pending.pcm is not None, "a frame is encoded before it is delivered"
                recorder.add_frame(pending.words, pending.pcm)
            case SegmentSpoken(segment=segment, start_ms=start_ms, end_ms=end_ms):
                recorder.end_part(segment, pending.words, start_ms, end_ms)
            case SilenceSpoken(silence=silence):
                recorder.end_part(silence, [], 0.0, 0.0)
            case UtteranceEnded(status=Status.FINISHED):
                recorder.finish()

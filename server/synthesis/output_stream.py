"""Deliver the events of one utterance to its listener, in order."""

import asyncio
import contextvars
import logging
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol, TypeVar

import numpy as np

from sayline_tts.engine.engine import Event, FrameSpoken, SegmentSpoken, SilenceSpoken, UtteranceEnded
from sayline_tts.engine.scheduling.utterance import Status, Utterance
from sayline_tts.engine.segment import Segment, Silence
from sayline_tts.engine.timing.word_time_estimator import WordTime
from sayline_tts.engine.timing.word_timestamps import TimestampFn, no_words

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

    def on_queue_position(self, position: int) -> None:
        """The utterance waits for admission; 1 is next."""

    def on_frame(self, encoded: Encoded) -> None:
        """`encode` has returned this."""

    def on_part_end(self, encoded: Encoded) -> None:
        """`end_part` has returned this. Precedes `on_segment` or `on_silence`."""

    def on_word(self, time: WordTime) -> None:
        """A word begins or ends in the next frame or after it."""

    def on_segment(self, segment: Segment, start_ms: float, end_ms: float) -> None: ...

    def on_silence(self, silence: Silence) -> None: ...

    def on_ended(self, status: Status) -> None: ...


@dataclass(frozen=True, slots=True)
class _Frame:
    result: Future[tuple[list[WordTime], Any]]  # the words that precede it, and its encoded audio


@dataclass(frozen=True, slots=True)
class _PartEnd:
    result: Future[tuple[list[WordTime], Any]]


_Item = _Frame | _PartEnd | SegmentSpoken | SilenceSpoken | UtteranceEnded


class OutputStream:
    """Passes on each frame as soon as it is encoded; later events wait for it.

    An error in decoding, encoding or the listener ends this stream alone. `on_closed` is called once.
    """

    def __init__(
        self, utterance: Utterance, listener: Listener[Any], on_closed: Callable[["OutputStream"], None]
    ) -> None:
        self.utterance, self.listener = utterance, listener
        self.queue_position: int | None = None
        self._on_closed = on_closed
        self._loop = asyncio.get_running_loop()
        self._context = contextvars.copy_context()  # log records then name the session
        self._items: deque[_Item] = deque()
        self._last_frame: Future[Any] | None = None
        self._closed = False
        self.waiting_since: float | None = None  # loop time; a frame has been generated and is not encoded yet

    @property
    def closed(self) -> bool:
        return self._closed

    def add(self, event: Event) -> None:
        match event:
            case FrameSpoken(audio=sound, words=words):
                self._last_frame = result = Future[Any]()
                self._items.append(_Frame(result))
                if self.waiting_since is None:
                    self.waiting_since = self._loop.time()
                sound.add_done_callback(partial(self._encode, result, words))
            case SegmentSpoken() | SilenceSpoken():
                self._end_part(event.words if isinstance(event, SegmentSpoken) else no_words)
                self._items.append(event)
                self._deliver()
            case _:
                self._items.append(event)
                self._deliver()

    def set_queue_position(self, position: int | None) -> None:
        if position is not None and position != self.queue_position:
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

    def _end_part(self, words: TimestampFn) -> None:
        """Flush the encoder after the part's last frame; no later frame is encoded before that."""
        result = Future[Any]()
        self._items.append(_PartEnd(result))
        flush = partial(self._resolve, result, lambda: (words(None), self.listener.end_part()))
        if self._last_frame is None or self._last_frame.done():
            flush()
        else:
            self._last_frame.add_done_callback(lambda _: flush())

    def _encode(self, result: Future[Any], words: TimestampFn, sound: Future[np.ndarray]) -> None:
        """Runs on the decoder thread, which decodes this slot's next frame afterwards; so frames stay in order."""
        self._resolve(result, lambda: (words(sound.result()), self.listener.encode(sound.result())))

    def _resolve(self, future: Future[Any], compute: Callable[[], Any]) -> None:
        if self._closed:
            return
        try:
            result = compute()
        except Exception as error:
            future.set_exception(error)
        else:
            future.set_result(result)
        self._loop.call_soon_threadsafe(self._deliver)

    def _deliver(self) -> None:
        while self._items and not self._closed:
            item = self._items[0]
            if isinstance(item, _Frame | _PartEnd) and not item.result.done():
                self.waiting_since = self._loop.time()
                return
            self._items.popleft()
            self._notify(item)
        self.waiting_since = None

    def _notify_words(self, words: list[WordTime]) -> None:
        for time in words:
            self.listener.on_word(time)

    def _notify(self, item: _Item) -> None:
        listener = self.listener
        try:
            match item:
                case _Frame(result=result):
                    words, encoded = result.result()
                    self._notify_words(words)
                    listener.on_frame(encoded)
                case _PartEnd(result=result):
                    words, encoded = result.result()
                    self._notify_words(words)
                    listener.on_part_end(encoded)
                case SegmentSpoken(segment=segment, start_ms=start_ms, end_ms=end_ms):
                    listener.on_segment(segment, start_ms, end_ms)
                case SilenceSpoken(silence=silence):
                    listener.on_silence(silence)
                case UtteranceEnded(status=status):
                    self.finish(status)
        except Exception:
            self._context.run(log.exception, "a frame or its listener failed; its utterance ends, others continue")
            self.finish(Status.FAILED)

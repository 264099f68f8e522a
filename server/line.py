"""What happens to one utterance, on its way to its listener, in order. Knows no engine and no socket."""

import asyncio
import logging
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from functools import partial
from typing import Protocol

import numpy as np

from engine.engine import Event, FrameSpoken, SegmentSpoken, UtteranceEnded
from engine.utterance import Segment, Status, Utterance

log = logging.getLogger(__name__)


class Listener(Protocol):
    """Told on the event loop, but for `encode`. `on_ended` is the last call."""

    def encode(self, pcm: np.ndarray) -> bytes:
        """Frame by frame in order, on the thread that has decoded it: what is costly there delays no one else."""

    def on_place(self, place: int) -> None:
        """It waits for its turn; 1 is next."""

    def on_frame(self, data: bytes) -> None:
        """What `encode` made."""

    def on_segment(self, segment: Segment, start_ms: float, end_ms: float) -> None: ...

    def on_ended(self, status: Status) -> None: ...


class Line:
    """A frame is told as soon as its own sound is there, and all that follows it waits for it.

    What goes wrong with it, with the frame or with its listener, ends this line alone. `on_over` is called once.
    """

    def __init__(self, utterance: Utterance, listener: Listener, on_over: Callable[["Line"], None]) -> None:
        self.utterance, self.listener = utterance, listener
        self.place: int | None = None  # in the engine's queue
        self._on_over = on_over
        self._loop = asyncio.get_running_loop()
        self._news: deque[Future[bytes] | SegmentSpoken | UtteranceEnded] = deque()  # a future is a frame
        self._over = False

    @property
    def over(self) -> bool:
        return self._over

    def add(self, event: Event) -> None:
        if isinstance(event, FrameSpoken):
            data: Future[bytes] = Future()
            self._news.append(data)
            event.sound.add_done_callback(partial(self._encode, data))
        else:
            self._news.append(event)
            self._deliver()

    def move_to(self, place: int | None) -> None:
        if place is not None and place != self.place:
            self.listener.on_place(place)
        self.place = place

    def cut(self) -> None:
        """Its listener hears nothing more, not even that. Twice is harmless."""
        if not self._over:
            self._over = True
            self._on_over(self)

    def end(self, status: Status) -> None:
        """The last that its listener hears."""
        if not self._over:
            self.cut()
            self.listener.on_ended(status)

    def _encode(self, data: Future[bytes], sound: Future[np.ndarray]) -> None:
        """On the codec's thread, which goes on with this slot only after that; so frames are encoded in order."""
        if self._over:
            return
        try:
            data.set_result(self.listener.encode(sound.result()))
        except Exception as error:
            data.set_exception(error)
        self._loop.call_soon_threadsafe(self._deliver)

    def _deliver(self) -> None:
        while self._news and not self._over:
            if isinstance(self._news[0], Future) and not self._news[0].done():
                return
            self._tell(self._news.popleft())

    def _tell(self, news: Future[bytes] | SegmentSpoken | UtteranceEnded) -> None:
        try:
            match news:
                case Future():
                    self.listener.on_frame(news.result())
                case SegmentSpoken(segment=segment, start_ms=start_ms, end_ms=end_ms):
                    self.listener.on_segment(segment, start_ms, end_ms)
                case UtteranceEnded(status=status):
                    self.end(status)
        except Exception:
            log.exception("a frame or its listener failed; its utterance ends, the others go on")
            self.end(Status.FAILED)

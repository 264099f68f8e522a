"""What happens to one utterance, on its way to its listener, in order. Knows no engine and no socket."""

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
from sayline_tts.engine.timing.word_timestamps import Telling, nothing

log = logging.getLogger(__name__)

Sound = TypeVar("Sound")  # as its listener has it


class Listener(Protocol[Sound]):
    """Told on the event loop, but for `encode` and `end_part`. `on_ended` is the last call.

    Those two come in order, on the thread that has decoded it: what is costly there delays no one else.
    """

    def encode(self, pcm: np.ndarray) -> Sound:
        """One frame."""

    def end_part(self) -> Sound:
        """That was the last frame of a segment or of a pause; is there something of it left?"""

    def on_place(self, place: int) -> None:
        """It waits for its turn; 1 is next."""

    def on_frame(self, sound: Sound) -> None:
        """What `encode` made."""

    def on_part_end(self, sound: Sound) -> None:
        """What `end_part` made. Before `on_segment` or `on_silence`."""

    def on_word(self, time: WordTime) -> None:
        """It begins, or is over, in the next frame or behind it."""

    def on_segment(self, segment: Segment, start_ms: float, end_ms: float) -> None: ...

    def on_silence(self, silence: Silence) -> None: ...

    def on_ended(self, status: Status) -> None: ...


@dataclass(frozen=True, slots=True)
class _Frame:
    made: Future[tuple[list[WordTime], Any]]  # words that are told before it, and what it was encoded to


@dataclass(frozen=True, slots=True)
class _PartEnd:
    made: Future[tuple[list[WordTime], Any]]


_News = _Frame | _PartEnd | SegmentSpoken | SilenceSpoken | UtteranceEnded


class Line:
    """A frame is told as soon as its own sound is there, and all that follows it waits for it.

    What goes wrong with it, with the frame or with its listener, ends this line alone. `on_over` is called once.
    """

    def __init__(self, utterance: Utterance, listener: Listener[Any], on_over: Callable[["Line"], None]) -> None:
        self.utterance, self.listener = utterance, listener
        self.place: int | None = None  # in the engine's queue
        self._on_over = on_over
        self._loop = asyncio.get_running_loop()
        self._context = contextvars.copy_context()  # of the session, for what is logged
        self._news: deque[_News] = deque()
        self._last: Future[Any] | None = None  # what the newest frame is encoded to
        self._over = False
        self.waits_since: float | None = None  # loop time; for the sound of a frame that has been made

    @property
    def over(self) -> bool:
        return self._over

    def add(self, event: Event) -> None:
        match event:
            case FrameSpoken(sound=sound, words=words):
                self._last = encoded = Future[Any]()
                self._news.append(_Frame(encoded))
                if self.waits_since is None:
                    self.waits_since = self._loop.time()
                sound.add_done_callback(partial(self._encode, encoded, words))
            case SegmentSpoken() | SilenceSpoken():
                self._end_part(event.words if isinstance(event, SegmentSpoken) else nothing)
                self._news.append(event)
                self._deliver()
            case _:
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

    def _end_part(self, words: Telling) -> None:
        """Behind its last frame; no other is there before that is done."""
        rest = Future[Any]()
        self._news.append(_PartEnd(rest))
        make = partial(self._resolve, rest, lambda: (words(None), self.listener.end_part()))
        if self._last is None or self._last.done():
            make()
        else:
            self._last.add_done_callback(lambda _: make())

    def _encode(self, encoded: Future[Any], words: Telling, sound: Future[np.ndarray]) -> None:
        """On the codec's thread, which goes on with this slot only after that; so frames are encoded in order."""
        self._resolve(encoded, lambda: (words(sound.result()), self.listener.encode(sound.result())))

    def _resolve(self, future: Future[Any], make: Callable[[], Any]) -> None:
        if self._over:
            return
        try:
            made = make()
        except Exception as error:
            future.set_exception(error)
        else:
            future.set_result(made)
        self._loop.call_soon_threadsafe(self._deliver)

    def _deliver(self) -> None:
        while self._news and not self._over:
            news = self._news[0]
            if isinstance(news, _Frame | _PartEnd) and not news.made.done():
                self.waits_since = self._loop.time()
                return
            self._news.popleft()
            self._tell(news)
        self.waits_since = None

    def _tell_words(self, words: list[WordTime]) -> None:
        for time in words:
            self.listener.on_word(time)

    def _tell(self, news: _News) -> None:
        listener = self.listener
        try:
            match news:
                case _Frame(made=made):
                    words, sound = made.result()
                    self._tell_words(words)
                    listener.on_frame(sound)
                case _PartEnd(made=made):
                    words, sound = made.result()
                    self._tell_words(words)
                    listener.on_part_end(sound)
                case SegmentSpoken(segment=segment, start_ms=start_ms, end_ms=end_ms):
                    listener.on_segment(segment, start_ms, end_ms)
                case SilenceSpoken(silence=silence):
                    listener.on_silence(silence)
                case UtteranceEnded(status=status):
                    self.end(status)
        except Exception:
            self._context.run(log.exception, "a frame or its listener failed; its utterance ends, the others go on")
            self.end(Status.FAILED)

"""What came of one context: events that wait for their reader, and what is known from all of them. Sends nothing."""

import asyncio
import math
from collections import deque

from sayline.errors import ProtocolError, SlowConsumer
from sayline.frame import Frame
from sayline.messages import (
    Audio,
    Cancelled,
    ContextEvent,
    Done,
    Flushed,
    Queued,
    Ready,
    Segment,
    Start,
    Unknown,
    Word,
    WordEnd,
)
from sayline.opus import OpusDecoder, load_libopus
from sayline.transcript import Transcript

# Frames that wait here for their reader. The server sends no faster than speech is heard, plus the lead, so only a
# reader that has stopped reading gets this far: 28 MB of PCM, or 4 of Opus.
MAX_WAITING_MS = 600_000

Event = Queued | Frame | Word | WordEnd | Segment | Flushed | Done | Cancelled


class Inbox:
    """`packets`: is the reader shown Opus as it comes?"""

    def __init__(self, start: Start, ready: Ready, packets: bool) -> None:
        self.last_seq = -1  # of the newest event
        self.duration_ms = 0.0  # of the audio that came
        self.place: int | None = None
        self.failure: BaseException | None = None
        self.transcript = Transcript()
        self._start, self._ready = start, ready
        self._packets = packets
        self._decoder: OpusDecoder | None = None
        self._last: Done | Cancelled | None = None
        self._events: deque[Event | Audio] = deque()
        self._frames = 0  # among them
        self._silent = self._over = False
        self._changed = asyncio.Event()

    def receive(self, event: ContextEvent | Unknown) -> bool:
        """False: it had come already, before the connection was lost."""
        if event.seq is not None:
            if event.seq <= self.last_seq:
                return False
            self.last_seq = event.seq
        match event:
            case Audio():
                self._receive_audio(event)
            case Queued() | Word() | WordEnd() | Segment() | Flushed() | Done() | Cancelled():
                self._note(event)
                self._put(event)
            case _:
                pass
        return True

    def silence(self) -> None:
        """No frame comes out any more."""
        self._silent = True
        self._events = deque(event for event in self._events if not isinstance(event, Audio))
        self._frames = 0

    def fail(self, error: BaseException) -> None:
        """The reader gets this, after all that came before. Only the first counts."""
        self.failure = self.failure or error
        self._changed.set()

    def close(self) -> None:
        """There is nothing more to come."""
        self.place = None
        self._over = True
        self._changed.set()

    async def get(self) -> Event:
        """Raises `StopAsyncIteration` behind the last."""
        while not self._events:
            if self.failure is not None:
                raise self.failure
            if self._over:
                raise StopAsyncIteration
            self._changed.clear()
            await self._changed.wait()
        event = self._events.popleft()
        if not isinstance(event, Audio):
            return event
        self._frames -= 1
        try:
            return self._frame(event)
        except ProtocolError as error:
            self._events.clear()
            self.fail(error)
            raise

    def heard(self, played_ms: float | None) -> Cancelled:
        """In the server's words where it told; else from the words that came. None: all that came was played."""
        if isinstance(self._last, Cancelled):
            return self._last
        parted = self.transcript.parted(math.inf if played_ms is None else played_ms)
        return Cancelled(self._start.context_id, self.last_seq, self.duration_ms, self.duration_ms, *parted)

    def _receive_audio(self, audio: Audio) -> None:
        self.duration_ms = self._start_ms(audio) + self._ready.frame_ms
        self.place = None
        if self._silent:
            return
        self._put(audio)
        self._frames += 1
        if self._frames * self._ready.frame_ms > MAX_WAITING_MS:
            minutes = MAX_WAITING_MS / 60_000
            self.fail(SlowConsumer("slow_consumer", f"{minutes:g} min of audio wait to be read: read them sooner"))

    def _frame(self, audio: Audio) -> Frame:
        """Made when it is read, so that all before it was decoded, and what nobody reads is not."""
        name, start_ms, data = self._start.context_id, self._start_ms(audio), audio.data
        if self._start.format == "pcm":
            return Frame(name, audio.seq, start_ms, data)
        if self._decoder is None and load_libopus() is not None:
            self._decoder = OpusDecoder(self._ready.sample_rate_hz, self._ready.opus_pre_skip)
        pcm = self._decoder.decode(data) if self._decoder else None
        return Frame(name, audio.seq, start_ms, pcm, data if self._packets else None)

    def _start_ms(self, audio: Audio) -> float:
        return audio.start_sample * 1000 / self._ready.sample_rate_hz

    def _note(self, event: Queued | Word | WordEnd | Segment | Flushed | Done | Cancelled) -> None:
        match event:
            case Queued():
                self.place = event.place
            case Word():
                self.transcript.tell(event)
            case WordEnd():
                self.transcript.tell_end(event.end_ms)
            case Done() | Cancelled():
                self.duration_ms = event.duration_ms
                self._last = event
            case _:
                pass

    def _put(self, event: Event | Audio) -> None:
        if self.failure is None:
            self._events.append(event)
            self._changed.set()

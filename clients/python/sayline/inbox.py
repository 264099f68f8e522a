"""Received events of one context, buffered for their reader, and the state derived from them."""

import asyncio
import math
from collections import deque
from dataclasses import replace

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

# Audio buffered for the reader. The server sends no faster than real time plus the lead, so only a reader that has
# stopped reads so little: 28 MB of PCM, or 4 MB of Opus.
MAX_BUFFERED_MS = 600_000

Event = Queued | Frame | Word | WordEnd | Segment | Flushed | Done | Cancelled


class Inbox:
    """`packets`: whether frames carry Opus packets."""

    def __init__(self, start: Start, ready: Ready, packets: bool) -> None:
        self.last_seq = -1  # of the latest event
        self.duration_ms = 0.0  # of the audio received
        self.place: int | None = None
        self.failure: BaseException | None = None
        self.transcript = Transcript()
        self._start, self._ready = start, ready
        self._packets = packets
        self._continued_ms = 0.0  # of the audio that servers before this one have sent
        self._decoder: OpusDecoder | None = None
        self._last: Done | Cancelled | None = None
        self._events: deque[Event | Audio] = deque()
        self._buffered_frames = 0  # among them
        self._audio_dropped = self._closed = False
        self._changed = asyncio.Event()

    def receive(self, event: ContextEvent | Unknown) -> bool:
        """Buffer an event. Return False for a duplicate from before a reconnect."""
        if event.seq is not None:
            if event.seq <= self.last_seq:
                return False
            self.last_seq = event.seq
        match event:
            case Audio():
                self._receive_audio(event)
            case Queued() | Word() | WordEnd() | Segment() | Flushed() | Done() | Cancelled():
                if isinstance(event, Cancelled) and self._continued_ms:
                    _, heard, unheard = self.transcript.split_at(event.heard_chars)
                    event = replace(event, heard_text=heard, unheard_text=unheard)
                self._track(event)
                self._append(event)
            case _:
                pass
        return True

    def continue_after(self, spoken_chars: int) -> dict[str, int] | None:
        """Another server goes on after so many characters. Return the `progress` that it needs; None if it begins."""
        self._continued_ms = self.duration_ms
        self.transcript.forget_words(spoken_chars)
        samples = round(self.duration_ms * self._ready.sample_rate_hz / 1000)
        progress = {"seq": self.last_seq + 1, "start_sample": samples, "start_char": spoken_chars}
        return None if self.last_seq < 0 else progress

    def drop_audio(self) -> None:
        """Discard buffered and future audio."""
        self._audio_dropped = True
        self._events = deque(event for event in self._events if not isinstance(event, Audio))
        self._buffered_frames = 0

    def fail(self, error: BaseException) -> None:
        """Raise this to the reader after all events received before. Only the first error counts."""
        self.failure = self.failure or error
        self._changed.set()

    def close(self) -> None:
        """No more events follow."""
        self.place = None
        self._closed = True
        self._changed.set()

    async def get(self) -> Event:
        """Return the next event. Raises `StopAsyncIteration` after the last."""
        while not self._events:
            if self.failure is not None:
                raise self.failure
            if self._closed:
                raise StopAsyncIteration
            self._changed.clear()
            await self._changed.wait()
        event = self._events.popleft()
        if not isinstance(event, Audio):
            return event
        self._buffered_frames -= 1
        try:
            return self._frame(event)
        except ProtocolError as error:
            self._events.clear()
            self.fail(error)
            raise

    def heard_split(self, played_ms: float | None) -> Cancelled:
        """Return the server's `Cancelled` event, or compute one from the words received. None: all was played."""
        heard = self.transcript.split_heard(math.inf if played_ms is None else played_ms)
        if isinstance(self._last, Cancelled):
            if played_ms is None or played_ms >= self._continued_ms:
                return self._last
            # This server knows nothing of the words that its predecessors have said.
            return replace(self._last, heard_chars=heard[0], heard_text=heard[1], unheard_text=heard[2])
        return Cancelled(self._start.context_id, self.last_seq, self.duration_ms, self.duration_ms, *heard)

    def _receive_audio(self, audio: Audio) -> None:
        self.duration_ms = self._start_ms(audio) + self._ready.frame_ms
        self.place = None
        if self._audio_dropped:
            return
        self._append(audio)
        self._buffered_frames += 1
        if self._buffered_frames * self._ready.frame_ms > MAX_BUFFERED_MS:
            minutes = MAX_BUFFERED_MS / 60_000
            self.fail(SlowConsumer("slow_consumer", f"{minutes:g} min of audio are unread: read events faster"))

    def _frame(self, audio: Audio) -> Frame:
        """Decode on reading: in order, and only what is read."""
        name, start_ms, data = self._start.context_id, self._start_ms(audio), audio.data
        if self._start.format == "pcm":
            return Frame(name, audio.seq, start_ms, data)
        if self._decoder is None and load_libopus() is not None:
            self._decoder = OpusDecoder(self._ready.sample_rate_hz, self._ready.opus_pre_skip)
        pcm = self._decoder.decode(data) if self._decoder else None
        return Frame(name, audio.seq, start_ms, pcm, data if self._packets else None)

    def _start_ms(self, audio: Audio) -> float:
        return audio.start_sample * 1000 / self._ready.sample_rate_hz

    def _track(self, event: Queued | Word | WordEnd | Segment | Flushed | Done | Cancelled) -> None:
        match event:
            case Queued():
                self.place = event.place
            case Word():
                self.transcript.add_word(event)
            case WordEnd():
                self.transcript.set_word_end(event.end_ms)
            case Done() | Cancelled():
                self.duration_ms = event.duration_ms
                self._last = event
            case _:
                pass

    def _append(self, event: Event | Audio) -> None:
        if self.failure is None:
            self._events.append(event)
            self._changed.set()

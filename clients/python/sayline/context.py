"""One stream of speech in a session: text goes in, events come out. Knows no socket; `Session` carries its messages."""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterable, Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from enum import Enum
from types import MappingProxyType, TracebackType
from typing import Self

from sayline import wire
from sayline.errors import ConnectionLost, ContextFailed, SaylineError
from sayline.unspoken import Unspoken

# Frames that wait here for their reader. The server sends no faster than speech is heard, plus the lead, so only a
# reader that has stopped reading gets this far: 28 MB of PCM.
MAX_WAITING_MS = 600_000
MAX_TEXT_CHARACTERS = 4096  # in one message; a longer text goes out in several
MAX_UNSPOKEN_CHARACTERS = 20_000  # sent and not spoken yet: some 20 minutes; the server takes 100,000


@dataclass(frozen=True, slots=True)
class Frame:
    """A piece of audio, 80 ms long: 16-bit little-endian mono PCM, or one Opus packet, as the context asked for."""

    context_id: str
    seq: int
    start_ms: float
    format: str
    data: bytes

    @property
    def pcm(self) -> bytes:
        return self._data_as("pcm")

    @property
    def packet(self) -> bytes:
        return self._data_as("opus")

    def _data_as(self, format: str) -> bytes:
        if self.format != format:
            raise SaylineError(f'this frame is {self.format}: ask for {format} with context(format="{format}")')
        return self.data


Event = wire.Queued | Frame | wire.Segment | wire.Done | wire.Cancelled


class State(Enum):
    NEW = "new"  # nothing sent yet
    OPEN = "open"  # takes text
    ENDED = "ended"  # the end of the text is sent; audio still comes
    CANCELLED = "cancelled"  # the server is told to stop, and has not answered yet
    OVER = "over"  # the last event is here


MAY_SEND: Mapping[State, tuple[type[wire.ClientMessage], ...]] = MappingProxyType(
    {
        State.NEW: (wire.Start,),
        State.OPEN: (wire.Text, wire.Flush, wire.End, wire.Cancel, wire.Played),
        State.ENDED: (wire.Cancel, wire.Played),
        State.CANCELLED: (),
        State.OVER: (),
    }
)
LEADS_TO: Mapping[type[wire.ClientMessage], State] = MappingProxyType(
    {wire.Start: State.OPEN, wire.End: State.ENDED, wire.Cancel: State.CANCELLED}
)


class Context:
    """Made by `Session.context`. Leaving it before its speech is over cancels it.

    `async for event in context` gives `Queued`, frames and segments as they come, last of all `Done` or `Cancelled`;
    it raises `ContextFailed` when the server gave this context up, `ConnectionLost` when the session ended, each after
    the frames that came before. One task may read; any may push.
    """

    def __init__(
        self,
        start: wire.Start,
        sample_rate_hz: int,
        frame_ms: float,
        send: Callable[[wire.ClientMessage], Awaitable[None]],
    ) -> None:
        self.context_id = start.context_id
        self.state = State.NEW
        self.duration_ms = 0.0  # of the audio that has come so far
        self.place: int | None = None  # in the queue of a server that is full; 1 is the next
        self._start = start
        self._sample_rate_hz = sample_rate_hz
        self._frame_ms = frame_ms
        self._send_message = send
        self._events: deque[Event] = deque()
        self._waiting_frames = 0
        self._changed = asyncio.Event()
        self._room = asyncio.Event()
        self._over = asyncio.Event()
        self._failure: BaseException | None = None
        self._unspoken = Unspoken()
        self._feeding: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        await self._send(self._start)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._stop_feeding()
        if wire.Cancel in MAY_SEND[self.state]:
            with suppress(ConnectionLost):  # then there is nothing left to cancel
                await self._send(wire.Cancel(self.context_id))

    async def say(self, text: str | AsyncIterable[str]) -> AsyncGenerator[Frame, None]:
        """Speak all of a text, be it a string or one that is still being written, and give the frames as they come."""
        self.feed(text)
        async for event in self:
            if isinstance(event, Frame):
                yield event

    def feed(self, text: str | AsyncIterable[str]) -> None:
        """Push all of a text in the background, then end. An exception in its iterator comes out of the events."""
        self._feeding = asyncio.create_task(self._push_all(text))
        self._feeding.add_done_callback(self._fed)

    async def push(self, text: str) -> None:
        """Send a piece of text, cut anywhere: pieces are joined as they are, so spaces belong to the text.

        Waits while very much text is still to be spoken.
        """
        if not isinstance(text, str):
            raise TypeError(f"text must be a str, not {type(text).__name__}")
        for at in range(0, len(text), MAX_TEXT_CHARACTERS):
            piece = text[at : at + MAX_TEXT_CHARACTERS]
            await self._wait_for_room()
            await self._send(wire.Text(self.context_id, piece))
            self._unspoken.add(piece)

    async def flush(self) -> None:
        """Speak at once all that was pushed, without waiting for the end of a sentence."""
        await self._send(wire.Flush(self.context_id))

    async def end(self) -> None:
        """No more text will come: speak the rest, then `Done`."""
        await self._send(wire.End(self.context_id))

    async def played(self, played_ms: float) -> None:
        """Tell how much of this context's audio has been heard, now and then: the server goes by the clock between.

        It matters where the player started late or paused. When nobody needs to know any more, nothing is sent.
        """
        if self._failure is None and wire.Played in MAY_SEND[self.state]:
            await self._send(wire.Played(self.context_id, played_ms))

    async def cancel(self) -> float:
        """Be silent now. Gives the milliseconds of audio that the server had sent. No frame comes out after this."""
        if wire.Cancel in MAY_SEND[self.state]:
            self._events = deque(event for event in self._events if not isinstance(event, Frame))
            self._waiting_frames = 0
            await self._send(wire.Cancel(self.context_id))
            await self._stop_feeding()
        if self.state is not State.NEW:
            await self._over.wait()
        return self.duration_ms

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Event:
        while not self._events:
            if self._failure is not None:
                raise self._failure
            if self.state is State.OVER:
                raise StopAsyncIteration
            self._changed.clear()
            await self._changed.wait()
        event = self._events.popleft()
        self._waiting_frames -= isinstance(event, Frame)
        return event

    def receive(
        self, message: wire.Queued | wire.Audio | wire.Segment | wire.Done | wire.Cancelled | wire.Error
    ) -> None:
        """What the server said about this context. Called by the session."""
        match message:
            case wire.Queued():
                self.place = message.place
                self._give(message)
            case wire.Audio():
                self._receive_audio(message)
            case wire.Segment():
                self._unspoken.spoken(message.text)
                self._room.set()
                self._give(message)
            case wire.Done() | wire.Cancelled():
                self.duration_ms = message.duration_ms
                self._finish()
                self._give(message)
            case wire.Error(final=True):
                self._finish()
                self.fail(ContextFailed(message.code, message.message, message.retry_after_ms))
            case wire.Error():
                # A message of ours was refused: the speech would have a hole there. The server goes on.
                if self.state is not State.CANCELLED:
                    self.fail(ContextFailed(message.code, message.message))

    def fail(self, error: BaseException) -> None:
        """Whoever reads gets this exception, after the events that came before. Leaving the context cancels it."""
        self._failure = self._failure or error
        self._room.set()
        self._changed.set()

    def lose(self, error: BaseException) -> None:
        """The server is gone."""
        self._finish()
        self.fail(error)

    def _receive_audio(self, audio: wire.Audio) -> None:
        start_ms = audio.start_sample * 1000 / self._sample_rate_hz
        self.duration_ms = start_ms + self._frame_ms
        self.place = None
        if self.state is State.CANCELLED or self._failure is not None:
            return
        format = self._start.format or "opus"
        self._waiting_frames += 1
        self._give(Frame(self.context_id, audio.seq, start_ms, format, audio.data))
        if self._waiting_frames * self._frame_ms > MAX_WAITING_MS:
            minutes = MAX_WAITING_MS / 60_000
            self.fail(ContextFailed("slow_reader", f"{minutes:g} min of audio wait to be read: read them sooner"))

    def _give(self, event: Event) -> None:
        self._events.append(event)
        self._changed.set()

    async def _push_all(self, text: str | AsyncIterable[str]) -> None:
        if isinstance(text, str):
            await self.push(text)
        else:
            async for piece in text:
                await self.push(piece)
        await self.end()

    def _fed(self, task: asyncio.Task[None]) -> None:
        error = SaylineError("the text was cancelled before its end") if task.cancelled() else task.exception()
        if error is not None and self.state in (State.OPEN, State.ENDED):
            self.fail(error)

    async def _stop_feeding(self) -> None:
        if self._feeding is not None:
            self._feeding.cancel()
            await asyncio.wait([self._feeding])

    async def _send(self, message: wire.ClientMessage) -> None:
        kind = type(message)
        if self._failure is not None and kind is not wire.Cancel:
            raise self._failure
        if kind not in MAY_SEND[self.state]:
            advice = "use it with `async with`" if self.state is State.NEW else "open another context"
            raise SaylineError(
                f"{self.context_id} is {self.state.value} and takes no {kind.__name__.lower()}: {advice}"
            )
        self.state = LEADS_TO.get(kind, self.state)
        await self._send_message(message)

    async def _wait_for_room(self) -> None:
        while self._unspoken.characters > MAX_UNSPOKEN_CHARACTERS and self._failure is None and not self._over.is_set():
            self._room.clear()
            await self._room.wait()

    def _finish(self) -> None:
        self.state = State.OVER
        self.place = None
        self._over.set()
        self._room.set()
        self._changed.set()

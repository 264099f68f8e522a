"""One stream of speech in a session: text goes in, events come out. `Session` carries its messages."""

import asyncio
import os
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing, suppress
from dataclasses import replace
from types import TracebackType
from typing import Self

from sayline import messages
from sayline.errors import ConnectionLost, SaylineError, context_failed
from sayline.frame import Frame
from sayline.inbox import Event, Inbox
from sayline.resend_buffer import ResendBuffer
from sayline.state import LEADS_TO, MAY_SEND, State
from sayline.text_stream import Text, text_of
from sayline.wav import WavWriter
from sayline.wire import speakable

MAX_TEXT_CHARS = 4096  # in one message; longer text is split
MAX_PENDING_CHARS = 50_000  # sent and not spoken yet, almost an hour of speech; the server accepts 100,000


class Context:
    """Made by `Session.context`. Leaving it before its speech is over cancels it.

    `async for event in context` yields `Queued`, frames, words, segments and `Flushed`, and finally `Done` or
    `Cancelled`. It raises `ContextFailed` if the server fails this context and `ConnectionLost` if the session ends,
    after all events received before. One task may read; any may push.

    It has more than 20 methods, because it is the public API of a context, and each message has one.
    """

    def __init__(
        self,
        start: messages.Start,
        ready: messages.Ready,
        send: Callable[[messages.ContextMessage], Awaitable[None]],
        packets: bool = False,
    ) -> None:
        self.context_id = start.context_id
        self.sample_rate_hz = ready.sample_rate_hz
        self.state = State.NEW
        self.resend_buffer = ResendBuffer()  # for the session
        self._start, self._send_message = start, send
        self._inbox = Inbox(start, ready, packets)
        self._acked_ms: float | None = None
        self._changed = asyncio.Event()  # there is room for text, or none is needed any more
        self._feeding: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        await self._send(self._start)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._stop_feeding()
        if messages.Cancel in MAY_SEND[self.state]:
            with suppress(ConnectionLost):  # nothing left to cancel
                await self._send(messages.Cancel(self.context_id))

    async def say(self, text: Text) -> AsyncGenerator[Frame, None]:
        """Speak a text, and yield its frames. The text is a string or a stream: see `text_of`."""
        self.feed(text)
        async for event in self:
            if isinstance(event, Frame):
                yield event

    async def save(self, path: str | os.PathLike[str], text: Text) -> None:
        """Speak a text into a WAV file, which is complete at every moment. Raises `OSError`."""
        with await asyncio.to_thread(open, path, "wb", 0) as file:
            wav = WavWriter(file, self.sample_rate_hz)
            async for frame in self.say(text):
                await asyncio.to_thread(wav.write, frame.pcm)

    def feed(self, text: Text) -> None:
        """Push a text in the background, then end. An exception of its iterator is raised to the reader of events.

        Cancelling the speech also cancels the text.
        """
        self._feeding = asyncio.create_task(self._push_all(text))
        self._feeding.add_done_callback(self._on_fed)

    async def push(self, text: str) -> None:
        """Send a piece of text, cut anywhere: pieces are concatenated, so spaces belong to the text.

        Waits while too much text is pending. Raises `SaylineError` if the context takes no text.
        """
        if not isinstance(text, str):
            raise TypeError(f"text must be a str, not {type(text).__name__}")
        text = speakable(text)
        for at in range(0, len(text), MAX_TEXT_CHARS):
            piece = text[at : at + MAX_TEXT_CHARS]
            await self._wait_for_room()
            await self._send(messages.Text(self.context_id, piece))

    async def flush(self, id: str | None = None) -> None:
        """Speak pending text now, without waiting for the end of a sentence; a `Flushed` event follows its audio."""
        await self._send(messages.Flush(self.context_id, id))

    async def end(self) -> None:
        """End the text: the rest is spoken, then `Done`."""
        await self._send(messages.End(self.context_id))

    async def ack(self, played_ms: float) -> None:
        """Report how much of this context's audio has been played; between reports the server extrapolates.

        This matters if the player started late or paused. After the end of the context nothing is sent.
        """
        self._acked_ms = played_ms
        if self._inbox.failure is None and messages.Ack in MAY_SEND[self.state]:
            await self._send(messages.Ack(self.context_id, played_ms))

    async def cancel(self, played_ms: float | None = None) -> messages.Cancelled:
        """Stop speaking, and return which text had been heard at `played_ms`. No frame follows.

        Without `played_ms` the server extrapolates from the last `ack`. If the context is already over or the server is
        gone, the answer is computed from the words received, with the last `ack` as it is, or all audio without one.
        """
        self._inbox.drop_audio()
        if messages.Cancel in MAY_SEND[self.state]:
            await self._send(messages.Cancel(self.context_id, played_ms))
            await self._stop_feeding()
        while self.state is State.CANCELLED:
            await self._wait_for_change()
        return self._inbox.heard_split(self._acked_ms if played_ms is None else played_ms)

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Event:
        return await self._inbox.get()

    @property
    def duration_ms(self) -> float:
        """Duration of the audio received so far."""
        return self._inbox.duration_ms

    @property
    def place(self) -> int | None:
        """Place in the queue of a full server; 1 is next. None: not queued."""
        return self._inbox.place

    # For the session

    @property
    def last_seq(self) -> int:
        return self._inbox.last_seq

    def on_sending(self, message: messages.ContextMessage) -> None:
        """It goes out now, or over the next connection."""
        self.resend_buffer.add(message)
        if isinstance(message, messages.Text):
            self._inbox.transcript.add(message.text)

    def restart(self) -> list[messages.ContextMessage]:
        """Return what a server needs to go on with this context that knows nothing of it."""
        spoken_chars = max(self.resend_buffer.spoken_chars, self._inbox.transcript.whole_chars(self.duration_ms))
        progress = self._inbox.continue_after(spoken_chars)
        return self.resend_buffer.restart(replace(self._start, progress=progress), spoken_chars)

    def receive(self, event: messages.ContextEvent | messages.Unknown) -> None:
        """Process an event of this context."""
        if not self._inbox.receive(event):
            return
        match event:
            case messages.Segment():
                self.resend_buffer.spoken(event.end_char)
                self._changed.set()
            case messages.Flushed():
                self.resend_buffer.flushed()
            case messages.Done() | messages.Cancelled():
                self._finish()
            case messages.Error():
                self._receive_error(event)
            case _:
                pass

    def on_connection_lost(self, error: BaseException) -> None:
        """End the context because the session is over."""
        self._finish()
        self._fail(error)

    def _receive_error(self, error: messages.Error) -> None:
        if error.final:
            self._finish()
        elif self.state is State.CANCELLED:
            return
        # Not final: the server rejected one message and continues, so the speech would have a gap.
        self._fail(context_failed(error.code, error.message, error.retry_after_ms))

    async def _push_all(self, text: Text) -> None:
        async with aclosing(text_of(text)) as pieces:
            async for piece in pieces:
                await self.push(piece)
        await self.end()

    def _on_fed(self, task: asyncio.Task[None]) -> None:
        error = SaylineError("the text was cancelled before it ended") if task.cancelled() else task.exception()
        if error is not None and self.state in (State.OPEN, State.ENDED):
            self._fail(error)

    async def _stop_feeding(self) -> None:
        if self._feeding is not None:
            self._feeding.cancel()
            await asyncio.wait([self._feeding])

    async def _send(self, message: messages.ContextMessage) -> None:
        kind = type(message)
        if self._inbox.failure is not None and kind is not messages.Cancel:
            raise self._inbox.failure
        if kind not in MAY_SEND[self.state]:
            advice = "use it with `async with`" if self.state is State.NEW else "open another context"
            raise SaylineError(
                f"cannot send {kind.__name__.lower()}: {self.context_id} is {self.state.value}; {advice}"
            )
        self.state = LEADS_TO.get(kind, self.state)
        await self._send_message(message)

    async def _wait_for_room(self) -> None:
        while self.resend_buffer.pending_chars > MAX_PENDING_CHARS and not self._failed_or_over:
            await self._wait_for_change()

    @property
    def _failed_or_over(self) -> bool:
        """Whether no more text will be spoken."""
        return self._inbox.failure is not None or self.state is State.OVER

    async def _wait_for_change(self) -> None:
        self._changed.clear()
        await self._changed.wait()

    def _fail(self, error: BaseException) -> None:
        """Raise this to the reader after the events received before. Leaving the context cancels it."""
        self._inbox.fail(error)
        self._changed.set()

    def _finish(self) -> None:
        self.state = State.OVER
        self._inbox.close()
        self._changed.set()

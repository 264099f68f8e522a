"""One stream of speech in a session: text goes in, events come out. Knows no socket; `Session` carries its messages."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing, suppress
from types import TracebackType
from typing import Self

from sayline import messages
from sayline.errors import ConnectionLost, SaylineError, context_failed
from sayline.frame import Frame
from sayline.inbox import Event, Inbox
from sayline.resend_buffer import Sent
from sayline.state import LEADS_TO, MAY_SEND, State
from sayline.text_stream import Text, text_of
from sayline.wire import speakable

MAX_TEXT_CHARS = 4096  # in one message; a longer text goes out in several
MAX_UNSPOKEN_CHARS = 50_000  # sent and not spoken yet: most of an hour; the server takes 100,000


class Context:
    """Made by `Session.context`. Leaving it before its speech is over cancels it.

    `async for event in context` gives `Queued`, frames, words, segments and `Flushed` as they come, last of all `Done`
    or `Cancelled`; it raises `ContextFailed` when the server gave this context up, `ConnectionLost` when the session
    ended, each after the events that came before. One task may read; any may push.
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
        self.sent = Sent()  # for the session
        self._start, self._send_message = start, send
        self._inbox = Inbox(start, ready, packets)
        self._acked_ms: float | None = None
        self._changed = asyncio.Event()  # there is room for text, or nobody needs any
        self._feeding: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        await self._send(self._start)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._stop_feeding()
        if messages.Cancel in MAY_SEND[self.state]:
            with suppress(ConnectionLost):  # then there is nothing left to cancel
                await self._send(messages.Cancel(self.context_id))

    async def say(self, text: Text) -> AsyncGenerator[Frame, None]:
        """Speak all of a text, and give the frames as they come: a string, or what is still being written.

        That is any iterator of strings, or the stream of a language model's SDK: see `text_of`.
        """
        self.feed(text)
        async for event in self:
            if isinstance(event, Frame):
                yield event

    def feed(self, text: Text) -> None:
        """Push all of a text in the background, then end. An exception in its iterator comes out of the events.

        Where the speech is cancelled before, so is the text.
        """
        self._feeding = asyncio.create_task(self._push_all(text))
        self._feeding.add_done_callback(self._fed)

    async def push(self, text: str) -> None:
        """Send a piece of text, cut anywhere: pieces are joined as they are, so spaces belong to the text.

        Waits while very much text is still to be spoken.
        """
        if not isinstance(text, str):
            raise TypeError(f"text must be a str, not {type(text).__name__}")
        text = speakable(text)
        for at in range(0, len(text), MAX_TEXT_CHARS):
            piece = text[at : at + MAX_TEXT_CHARS]
            await self._wait_for_room()
            await self._send(messages.Text(self.context_id, piece))

    async def flush(self, id: str | None = None) -> None:
        """Speak at once all that was pushed, without waiting for the end of a sentence; `Flushed` tells when it was."""
        await self._send(messages.Flush(self.context_id, id))

    async def end(self) -> None:
        """No more text will come: speak the rest, then `Done`."""
        await self._send(messages.End(self.context_id))

    async def ack(self, played_ms: float) -> None:
        """Tell how much of this context's audio has been heard, now and then: the server goes by the clock between.

        It matters where the player started late or paused. When nobody needs to know any more, nothing is sent.
        """
        self._acked_ms = played_ms
        if self._inbox.failure is None and messages.Ack in MAY_SEND[self.state]:
            await self._send(messages.Ack(self.context_id, played_ms))

    async def cancel(self, played_ms: float | None = None) -> messages.Cancelled:
        """Be silent now, and tell what was heard when `played_ms` had been played. No frame comes out after this.

        Without `played_ms` the last `ack` counts, carried on by the clock. Where the server had said all already, or is
        gone, the same is told from the words that came; then the last `ack` counts as it is, and without one all of it.
        """
        self._inbox.silence()
        if messages.Cancel in MAY_SEND[self.state]:
            await self._send(messages.Cancel(self.context_id, played_ms))
            await self._stop_feeding()
        while self.state is State.CANCELLED:
            await self._change()
        return self._inbox.heard(self._acked_ms if played_ms is None else played_ms)

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Event:
        return await self._inbox.get()

    @property
    def duration_ms(self) -> float:
        """Of the audio that has come so far."""
        return self._inbox.duration_ms

    @property
    def place(self) -> int | None:
        """In the queue of a server that is full; 1 is the next."""
        return self._inbox.place

    # For the session

    @property
    def last_seq(self) -> int:
        return self._inbox.last_seq

    def on_sending(self, message: messages.ContextMessage) -> None:
        """It goes out now, or over the next connection."""
        self.sent.add(message)
        if isinstance(message, messages.Text):
            self._inbox.transcript.add(message.text)

    def receive(self, event: messages.ContextEvent | messages.Unknown) -> None:
        """What the server said about this context."""
        if not self._inbox.receive(event):
            return
        match event:
            case messages.Segment():
                self.sent.spoken(event.end_char)
                self._changed.set()
            case messages.Done() | messages.Cancelled():
                self._finish()
            case messages.Error():
                self._receive_error(event)
            case _:
                pass

    def lose(self, error: BaseException) -> None:
        """The server is gone."""
        self._finish()
        self._fail(error)

    # What follows

    def _receive_error(self, error: messages.Error) -> None:
        if error.final:
            self._finish()
        elif self.state is State.CANCELLED:
            return
        # Not final: a message of ours was refused, and the speech would have a hole there. The server goes on.
        self._fail(context_failed(error.code, error.message, error.retry_after_ms))

    async def _push_all(self, text: Text) -> None:
        async with aclosing(text_of(text)) as pieces:
            async for piece in pieces:
                await self.push(piece)
        await self.end()

    def _fed(self, task: asyncio.Task[None]) -> None:
        error = SaylineError("the text was cancelled before its end") if task.cancelled() else task.exception()
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
                f"{self.context_id} is {self.state.value} and takes no {kind.__name__.lower()}: {advice}"
            )
        self.state = LEADS_TO.get(kind, self.state)
        await self._send_message(message)

    async def _wait_for_room(self) -> None:
        while self.sent.unspoken_chars > MAX_UNSPOKEN_CHARS and not self._stuck:
            await self._change()

    @property
    def _stuck(self) -> bool:
        """Nothing more will be spoken."""
        return self._inbox.failure is not None or self.state is State.OVER

    async def _change(self) -> None:
        self._changed.clear()
        await self._changed.wait()

    def _fail(self, error: BaseException) -> None:
        """Whoever reads gets this exception, after the events that came before. Leaving the context cancels it."""
        self._inbox.fail(error)
        self._changed.set()

    def _finish(self) -> None:
        self.state = State.OVER
        self._inbox.close()
        self._changed.set()

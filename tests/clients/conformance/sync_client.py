"""`sayline.sync`, driven like the asynchronous client; blocking calls run in a thread."""

import queue
import threading
from asyncio import to_thread
from collections.abc import AsyncIterator, Iterator
from typing import Any

import sayline

from tests.clients.conformance.python_client import BREAK, END, PythonClient, TextBroke


class SyncClient(PythonClient):
    def open(self, url: str, api_key: str | None) -> Any:
        return Session(sayline.sync.connect(url, api_key, encoding=self.encoding))

    def new_writing(self) -> Any:
        return Writing()


class Writing:
    """A text that is written when we say so, and blocks until then."""

    def __init__(self) -> None:
        self.pieces: queue.Queue[Any] = queue.Queue()
        self._closed = threading.Event()

    async def until_closed(self) -> None:
        assert await to_thread(self._closed.wait, 10)

    def __iter__(self) -> Iterator[str]:
        try:
            while (piece := self.pieces.get()) is not END:
                if piece is BREAK:
                    raise TextBroke("the text broke")
                yield piece
        finally:
            self._closed.set()


class Session:
    def __init__(self, session: sayline.sync.Session) -> None:
        self._session = session

    async def __aenter__(self) -> None:
        await to_thread(self._session.__enter__)

    async def __aexit__(self, *error: Any) -> None:
        await to_thread(self._session.__exit__, *error)

    def context(self, **options: Any) -> "Context":
        return Context(self._session.context(**options))

    @property
    def ready(self) -> sayline.Ready:
        return self._session.ready


class Context:
    def __init__(self, context: sayline.sync.Context) -> None:
        self._context = context
        self._events = iter(context)

    async def __aenter__(self) -> None:
        await to_thread(self._context.__enter__)

    async def __aexit__(self, *error: Any) -> None:
        await to_thread(self._context.__exit__, *error)

    async def say(self, text: str) -> AsyncIterator[sayline.Frame]:
        frames = self._context.say(text)
        while (frame := await to_thread(next, frames, None)) is not None:
            yield frame

    def feed(self, text: Any) -> None:
        self._context.feed(text)

    async def push(self, text: str) -> None:
        await to_thread(self._context.push, text)

    async def flush(self, id: str | None) -> None:
        await to_thread(self._context.flush, id)

    async def end(self) -> None:
        await to_thread(self._context.end)

    async def ack(self, played_ms: float) -> None:
        await to_thread(self._context.ack, played_ms)

    async def cancel(self, played_ms: float | None) -> sayline.Cancelled:
        return await to_thread(self._context.cancel, played_ms)

    async def __anext__(self) -> sayline.Event:
        if (event := await to_thread(next, self._events, None)) is None:
            raise StopAsyncIteration
        return event

    @property
    def place(self) -> int | None:
        return self._context.place

    @property
    def duration_ms(self) -> float:
        return self._context.duration_ms

"""Read a blocking iterable in a thread of its own, so that waiting does not block the event loop."""

import asyncio
import contextvars
import threading
from collections.abc import AsyncGenerator, AsyncIterator, Iterable
from contextlib import suppress
from typing import Generic, TypeVar

MAX_AHEAD = 8

T = TypeVar("T")


class ThreadedIterator(Generic[T]):
    """`async for item in Reading(iterable)`: each as soon as the iterable gives it; no more than a few ahead.

    Whoever stops early has the iterable closed, where it can be.
    """

    def __init__(self, items: Iterable[T]) -> None:
        self._items = items
        self._room = threading.Semaphore(MAX_AHEAD)
        self._read: asyncio.Queue[tuple[T] | BaseException | None] = asyncio.Queue()
        self._stopped = False

    def __aiter__(self) -> AsyncIterator[T]:
        return self.items()

    async def items(self) -> AsyncGenerator[T, None]:
        context = contextvars.copy_context()  # tracers depend on it
        loop = asyncio.get_running_loop()
        # A daemon, so that a blocked iterable does not keep the program from exiting.
        threading.Thread(target=context.run, args=(self._run, loop), name="sayline text", daemon=True).start()
        try:
            while (item := await self._read.get()) is not None:
                self._room.release()
                if isinstance(item, BaseException):
                    raise item
                yield item[0]
        finally:
            self._stopped = True
            self._room.release()

    def _run(self, loop: asyncio.AbstractEventLoop) -> None:
        end: BaseException | None = None
        try:
            self._room.acquire()
            for item in self._items:
                if not self._post(loop, (item,)):
                    break
                self._room.acquire()
                if self._stopped:
                    self._close()
                    break
        except BaseException as error:
            end = error
        self._post(loop, end)

    def _post(self, loop: asyncio.AbstractEventLoop, item: tuple[T] | BaseException | None) -> bool:
        with suppress(RuntimeError):  # the loop is closed, so there is no reader
            loop.call_soon_threadsafe(self._read.put_nowait, item)
            return True
        return False

    def _close(self) -> None:
        if close := getattr(self._items, "close", None):
            close()

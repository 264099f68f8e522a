"""The thread with the event loop that `sayline.sync` uses."""

import asyncio
import threading
from collections.abc import Callable, Coroutine
from typing import Any, ParamSpec, TypeVar

from sayline.errors import ConnectionLost

P = ParamSpec("P")
T = TypeVar("T")


class LoopThread:
    """Runs while it is held: each `acquire` needs a `release`."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._holders = 0
        self._loop: asyncio.AbstractEventLoop
        self._thread: threading.Thread

    def acquire(self) -> None:
        with self._lock:
            if not self._holders:
                self._loop = asyncio.new_event_loop()
                # A daemon, so that a program that never leaves its `with` block can exit.
                self._thread = threading.Thread(target=self._run, args=(self._loop,), name="sayline", daemon=True)
                self._thread.start()
            self._holders += 1

    def release(self) -> None:
        with self._lock:
            self._holders -= 1
            if not self._holders:
                self._loop.call_soon_threadsafe(self._loop.stop)
                self._thread.join()

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine and return its result. Ctrl-C in the waiting thread cancels it."""
        if not self._holders:
            work.close()
            raise ConnectionLost(
                "the session was closed by this client: connect again, and use it inside its `with` block"
            )
        done = asyncio.run_coroutine_threadsafe(work, self._loop)
        try:
            return done.result()
        except BaseException:
            done.cancel()
            raise

    def call(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Call a function in the loop's thread and return its result."""

        async def work() -> T:
            return function(*args, **kwargs)

        return self.run(work())

    def _run(self, loop: asyncio.AbstractEventLoop) -> None:
        try:
            loop.run_forever()
        finally:
            loop.run_until_complete(loop.shutdown_asyncgens())
            loop.run_until_complete(loop.shutdown_default_executor())
            loop.close()

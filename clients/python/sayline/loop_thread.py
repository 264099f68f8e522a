"""The one thread, and the event loop in it, in which `sayline.sync` does its work. Knows nothing of speech."""

import asyncio
import threading
from collections.abc import Callable, Coroutine
from typing import Any, ParamSpec, TypeVar

from sayline.errors import ConnectionLost

P = ParamSpec("P")
T = TypeVar("T")


class LoopThread:
    """Runs as long as somebody holds it: `acquire`, and `release` as often."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._holders = 0
        self._loop: asyncio.AbstractEventLoop
        self._thread: threading.Thread

    def acquire(self) -> None:
        with self._lock:
            if not self._holders:
                self._loop = asyncio.new_event_loop()
                # A daemon, so that a program ends that forgot to leave a `with`.
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
        """What comes of it, or its exception. Ctrl-C, which comes to the thread that waits, cancels it."""
        if not self._holders:
            work.close()
            raise ConnectionLost("the session was closed here: connect again, and use it inside its `with`")
        done = asyncio.run_coroutine_threadsafe(work, self._loop)
        try:
            return done.result()
        except BaseException:
            done.cancel()
            raise

    def call(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """What a plain function gives there."""

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

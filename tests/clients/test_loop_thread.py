import asyncio
import threading

import pytest
from sayline.errors import ConnectionLost
from sayline.loop_thread import LoopThread

TIMEOUT_S = 10


def threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "sayline"]


def test_work_is_done_in_a_thread_of_its_own_as_long_as_somebody_holds_it() -> None:
    async def where() -> threading.Thread:
        return threading.current_thread()

    loop = LoopThread()
    loop.acquire()
    loop.acquire()
    assert [loop.run(where())] == threads()
    loop.release()
    assert [loop.call(threading.current_thread)] == threads()
    loop.release()
    assert threads() == []
    loop.acquire()
    assert [loop.run(where())] == threads()
    loop.release()


def test_an_exception_comes_to_who_waits() -> None:
    loop = LoopThread()
    loop.acquire()
    with pytest.raises(ZeroDivisionError):
        loop.call(lambda: 1 // 0)
    loop.release()


def test_what_nobody_holds_does_nothing() -> None:
    with pytest.raises(ConnectionLost, match="is closed: connect again, and use it inside its `with` block"):
        LoopThread().run(asyncio.sleep(0))


def test_who_is_interrupted_while_he_waits_cancels_the_work(monkeypatch: pytest.MonkeyPatch) -> None:
    started, cancelled = threading.Event(), threading.Event()

    async def work() -> None:
        started.set()
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set()

    class Interrupted:
        """What Ctrl-C does to a thread that waits."""

        def __init__(self, done: object) -> None:
            self._done = done

        def result(self) -> None:
            started.wait(TIMEOUT_S)
            raise KeyboardInterrupt

        def __getattr__(self, name: str) -> object:
            return getattr(self._done, name)

    submit = asyncio.run_coroutine_threadsafe
    monkeypatch.setattr(asyncio, "run_coroutine_threadsafe", lambda work, loop: Interrupted(submit(work, loop)))
    loop = LoopThread()
    loop.acquire()
    with pytest.raises(KeyboardInterrupt):
        loop.run(work())
    assert cancelled.wait(TIMEOUT_S)
    loop.release()

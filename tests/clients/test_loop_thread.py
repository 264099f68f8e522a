import asyncio
import threading

import pytest
from sayline.errors import ConnectionLost
from sayline.loop_thread import LoopThread

TIMEOUT_S = 10


def threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "sayline"]


def test_loop_thread_runs_while_it_is_held() -> None:
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


def test_exception_is_raised_in_the_waiting_thread() -> None:
    loop = LoopThread()
    loop.acquire()
    with pytest.raises(ZeroDivisionError):
        loop.call(lambda: 1 // 0)
    loop.release()


def test_released_loop_thread_refuses_work() -> None:
    with pytest.raises(
        ConnectionLost, match="closed by this client: connect again, and use it inside its `with` block"
    ):
        LoopThread().run(asyncio.sleep(0))


def test_interrupted_wait_cancels_the_work(monkeypatch: pytest.MonkeyPatch) -> None:
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

import asyncio
import contextvars
import threading
from collections.abc import Iterator
from contextlib import aclosing

import pytest
from sayline import threaded_iterator
from sayline.threaded_iterator import ThreadedIterator

TIMEOUT_S = 10


def numbers(count: int) -> Iterator[int]:
    yield from range(count)


class Endless:
    """Notes what is done with it."""

    def __init__(self) -> None:
        self.given = 0
        self.closed = threading.Event()

    def __iter__(self) -> Iterator[int]:
        while True:
            self.given += 1
            yield self.given

    def close(self) -> None:
        self.closed.set()


async def test_items_arrive_in_order() -> None:
    assert [number async for number in ThreadedIterator(numbers(1000))] == list(range(1000))


async def test_empty_iterable_yields_nothing() -> None:
    nothing: list[int] = []
    assert [number async for number in ThreadedIterator(nothing)] == []


async def test_waiting_does_not_block_the_loop() -> None:
    asked, answered = threading.Event(), threading.Event()

    def blocking() -> Iterator[str]:
        asked.set()
        answered.wait(TIMEOUT_S)
        yield "here"

    async def others() -> None:
        while not asked.is_set():  # noqa: ASYNC110 (a thread's event)
            await asyncio.sleep(0)
        answered.set()

    async with asyncio.TaskGroup() as group:
        group.create_task(others())
        assert [item async for item in ThreadedIterator(blocking())] == ["here"]


async def test_exception_follows_the_items_before_it() -> None:
    def broken() -> Iterator[int]:
        yield 1
        raise ZeroDivisionError

    items = aiter(ThreadedIterator(broken()))
    assert await anext(items) == 1
    with pytest.raises(ZeroDivisionError):
        await anext(items)


async def test_stopping_early_closes_the_iterable() -> None:
    endless = Endless()
    async with aclosing(ThreadedIterator(endless).items()) as items:
        assert await anext(items) == 1
    assert await asyncio.to_thread(endless.closed.wait, TIMEOUT_S)
    assert endless.given <= threaded_iterator.MAX_AHEAD + 3


async def test_iterable_without_close_is_dropped() -> None:
    async with aclosing(ThreadedIterator(iter(range(1000))).items()) as items:
        assert await anext(items) == 0


async def test_exhausted_iterable_is_not_closed() -> None:
    class Short(Endless):
        def __iter__(self) -> Iterator[int]:
            yield 1

    short = Short()
    assert [item async for item in ThreadedIterator(short)] == [1]
    assert not short.closed.is_set()


async def test_thread_inherits_the_context_variables() -> None:
    trace = contextvars.ContextVar("trace", default="none")
    trace.set("mine")
    assert [item async for item in ThreadedIterator(trace.get() for _ in range(1))] == ["mine"]


def test_closed_loop_ends_reading() -> None:
    loop = asyncio.new_event_loop()
    loop.close()
    numbers = iter(range(3))
    ThreadedIterator(numbers)._run(loop)
    assert list(numbers) == [1, 2]


def test_closed_loop_ends_the_thread() -> None:
    go_on, over = threading.Event(), threading.Event()

    def items() -> Iterator[int]:
        try:
            yield 1
            go_on.wait(TIMEOUT_S)
            yield 2
            yield 3
        finally:
            over.set()

    async def first() -> int:
        return await anext(aiter(ThreadedIterator(items())))

    assert asyncio.run(first()) == 1
    go_on.set()
    assert over.wait(TIMEOUT_S)

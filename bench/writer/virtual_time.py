"""An event loop whose clock advances by itself: hours pass in no time, and always in the same way."""

import asyncio
import selectors
from collections.abc import Coroutine
from typing import Any, TypeVar

Result = TypeVar("Result")


class VirtualTimeLoop(asyncio.SelectorEventLoop):
    """Where another loop would wait for its next timer, this one moves its clock on to it."""

    def __init__(self) -> None:
        self._now_s = 0.0
        selector = selectors.DefaultSelector()
        select = selector.select

        def skip(timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
            assert timeout is not None, "every task waits for something that will not happen"
            self._now_s += max(0.0, timeout)
            return select(0)

        selector.select = skip  # type: ignore[method-assign]
        super().__init__(selector)

    def time(self) -> float:
        return self._now_s


def run(main: Coroutine[Any, Any, Result]) -> Result:
    """Run `main` in virtual time. It must not wait for threads or sockets."""
    with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
        return runner.run(main)

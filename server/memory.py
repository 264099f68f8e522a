"""Give free memory back to the operating system.

The C library keeps what was freed, in pieces between what is still in use: after many clients that read nothing, their
buffers stay with the process for good. `malloc_trim` returns all whole free pages.
"""

import asyncio
import ctypes
import sys
from collections.abc import Callable

DELAY_S = 10.0  # after a session has ended: those that end until then are dealt with together


class MemoryTrimmer:
    """Trims some time after `request`, on a thread: it takes milliseconds and needs no interpreter lock."""

    def __init__(self, trim: Callable[[], object] | None = None) -> None:
        self._trim = trim or trim_function()
        self._timer: asyncio.TimerHandle | None = None

    def request(self) -> None:
        if self._timer is None and self._trim is not None:
            self._timer = asyncio.get_running_loop().call_later(DELAY_S, self._run)

    def _run(self) -> None:
        self._timer = None
        assert self._trim is not None, "a timer without a function"
        asyncio.get_running_loop().run_in_executor(None, self._trim)


def trim_function() -> Callable[[], object] | None:
    """Return the C library's function; None where there is none, as in musl."""
    if sys.platform != "linux":
        return None
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    return None if trim is None else lambda: trim(0)

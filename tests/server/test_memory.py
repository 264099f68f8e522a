"""Free memory goes back to the operating system."""

import asyncio
import sys

import pytest

from sayline_tts.server import memory
from sayline_tts.server.app import SESSIONS, make_app
from sayline_tts.server.memory import MemoryTrimmer, trim_function
from sayline_tts.server.settings import Settings
from tests.server.fakes import FakeEngine
from tests.server.stream_client import connected_client, serving


def private_kb() -> int:
    with open("/proc/self/smaps_rollup") as lines:
        return sum(int(line.split()[1]) for line in lines if line.startswith(("Private_Clean", "Private_Dirty")))


@pytest.mark.skipif(trim_function() is None, reason="the C library has no malloc_trim")
def test_memory_between_what_is_still_in_use_is_returned() -> None:
    before_kb = private_kb()
    pieces = [bytes(2_000) for _ in range(40_000)]
    kept = pieces[:: len(pieces) // 8]
    del pieces
    trim = trim_function()
    assert trim is not None
    trim()
    assert private_kb() - before_kb < 20_000, "of 80 MB"
    assert len(kept) >= 8


async def test_requests_are_merged(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "DELAY_S", 0.01)
    trimmed = asyncio.Event()
    calls, loop = [], asyncio.get_running_loop()

    def trim() -> None:
        calls.append(1)
        loop.call_soon_threadsafe(trimmed.set)

    trimmer = MemoryTrimmer(trim)
    for _ in range(5):
        trimmer.request()
    await trimmed.wait()
    assert calls == [1]


async def test_memory_is_trimmed_some_time_after_a_session_has_ended(
    engine: FakeEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    requests: list[int] = []
    monkeypatch.setattr(MemoryTrimmer, "request", lambda _: requests.append(1))
    app = await make_app(Settings(), engine.model, engine)
    async with serving(app) as address:
        async with connected_client(address):
            assert not requests
        await app[SESSIONS].wait_until(lambda: not len(app[SESSIONS]))
        assert requests == [1]


def test_nothing_is_trimmed_where_the_c_library_cannot(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    assert trim_function() is None
    MemoryTrimmer().request()

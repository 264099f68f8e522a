import asyncio

from sayline_tts.server.shutdown import Shutdown

ENDLESS_S = 1e6


async def endless() -> None:
    await asyncio.Event().wait()


async def nothing() -> None:
    pass


async def test_one_request_waits_for_open_contexts() -> None:
    shutdown = Shutdown()
    shutdown.request()
    await shutdown.wait_requested()
    assert not shutdown.forced
    await shutdown.wait_unless_forced(nothing(), nothing(), timeout_s=ENDLESS_S)


async def test_second_request_forces_the_shutdown() -> None:
    shutdown = Shutdown()
    shutdown.request()
    waiting = asyncio.create_task(shutdown.wait_unless_forced(nothing(), endless(), timeout_s=ENDLESS_S))
    await asyncio.sleep(0)
    shutdown.request()
    await waiting
    assert shutdown.forced
    assert not shutdown.failed


async def test_wait_ends_at_the_timeout() -> None:
    await Shutdown().wait_unless_forced(endless(), timeout_s=0.01)


async def test_failure_forces_the_shutdown() -> None:
    shutdown = Shutdown()
    shutdown.fail("why")
    await shutdown.wait_requested()
    assert shutdown.forced
    assert shutdown.failed

import asyncio

from sayline_tts.server.shutdown import Ending

ENDLESS_S = 1e6


async def endless() -> None:
    await asyncio.Event().wait()


async def nothing() -> None:
    pass


async def test_who_is_asked_once_waits_for_those_who_go_on() -> None:
    ending = Ending()
    ending.ask()
    await ending.until_asked()
    assert not ending.hurried
    await ending.unless_hurried(nothing(), nothing(), within_s=ENDLESS_S)


async def test_who_is_asked_twice_hurries() -> None:
    ending = Ending()
    ending.ask()
    waiting = asyncio.create_task(ending.unless_hurried(nothing(), endless(), within_s=ENDLESS_S))
    await asyncio.sleep(0)
    ending.ask()
    await waiting
    assert ending.hurried
    assert not ending.broken


async def test_nobody_is_waited_for_beyond_the_deadline() -> None:
    await Ending().unless_hurried(endless(), within_s=0.01)


async def test_what_is_broken_ends_at_once() -> None:
    ending = Ending()
    ending.break_down("why")
    await ending.until_asked()
    assert ending.hurried
    assert ending.broken

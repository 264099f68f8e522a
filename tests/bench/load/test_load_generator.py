import asyncio

from sayline_tts.bench.load.load_generator import Crowd
from sayline_tts.bench.load.process import Meter
from sayline_tts.bench.load.stream import Lost, Outcome, Stream
from sayline_tts.bench.load.texts import Texts
from tests.bench.fakes import connects_to, rejects, speaks, stumbles

TEXTS = Texts(((1, 0.08), (2, 0.16)), 0.08, 0.16)


async def test_listeners_stay_and_hear_text_after_text() -> None:
    heard: dict[int, int] = {}
    both_twice = asyncio.Event()

    async def notes(stream: Stream) -> None:
        heard[stream.listener_number] = heard.get(stream.listener_number, 0) + 1
        if len(heard) == 2 and min(heard.values()) >= 2:
            both_twice.set()
        await speaks(stream)

    async with Crowd(connects_to(notes), TEXTS) as crowd:
        crowd.add(2, within_s=0.0)
        await both_twice.wait()
    assert set(heard) == {0, 1}


async def test_the_first_underrun_ends_a_measurement_that_says_so() -> None:
    async with Crowd(connects_to(stumbles), TEXTS) as crowd:
        crowd.add(1, within_s=0.0)
        seen = await crowd.measure(3600, Meter(), 1, until_dry=True)
    assert seen.underruns == 1
    assert not seen.supplied


async def test_arrivals_do_not_wait_for_the_server() -> None:
    arrived, many = list[Stream](), asyncio.Event()

    async def never_answers(stream: Stream) -> None:
        arrived.append(stream)
        if len(arrived) == 20:
            many.set()
        await asyncio.Event().wait()

    async with Crowd(connects_to(never_answers), TEXTS) as crowd:
        crowd.open_doors(rate_hz=1000)
        await many.wait()
    assert len({stream.listener_number for stream in arrived}) == len(arrived)


async def test_who_is_turned_away_comes_back_when_he_was_told_to() -> None:
    tries, enough = list[Stream](), asyncio.Event()

    async def full(stream: Stream) -> None:
        tries.append(stream)
        if len(tries) == 3:
            enough.set()
        await rejects(stream)

    async with Crowd(connects_to(full), TEXTS) as crowd:
        crowd.add(1, within_s=0.0)
        await enough.wait()
        seen = await crowd.measure(0.0, Meter(), 1)
    assert all(stream.outcome is Outcome.REJECTED for stream in tries)
    assert seen.streams == 0


async def test_a_server_that_is_not_there_is_an_error_in_the_result() -> None:
    asked = asyncio.Event()

    class Nowhere:
        async def __aenter__(self) -> None:
            asked.set()
            raise Lost("no server")

        async def __aexit__(self, *_: object) -> None: ...

    async with Crowd(Nowhere, TEXTS) as crowd:  # type: ignore[arg-type]
        crowd.add(1, within_s=0.0)
        await asked.wait()
        seen = await crowd.measure(0.0, Meter(), 1)
    assert seen.errors == {"no server": 1}
    assert not seen.supplied


async def test_who_asked_in_time_is_waited_for_after_the_end() -> None:
    begun, may_speak = asyncio.Event(), asyncio.Event()

    async def late(stream: Stream) -> None:
        begun.set()
        await may_speak.wait()
        await speaks(stream)

    async with Crowd(connects_to(late), TEXTS) as crowd:
        measuring = asyncio.create_task(crowd.measure(0.05, Meter(), 1))
        await asyncio.sleep(0)  # it has begun
        crowd.add(1, within_s=0.0)
        await begun.wait()
        asyncio.get_running_loop().call_later(0.1, may_speak.set)
        seen = await measuring
    assert (seen.streams, seen.unanswered) == (1, 0)

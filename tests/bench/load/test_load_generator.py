import asyncio

from sayline_tts.bench.load.load_generator import LoadGenerator
from sayline_tts.bench.load.process import CpuMeter
from sayline_tts.bench.load.stream import ConnectionLost, Outcome, Stream
from sayline_tts.bench.load.texts import Texts
from tests.bench.fakes import connects_to, rejects, speaks, stumbles

TEXTS = Texts(((1, 0.08), (2, 0.16)), 0.08, 0.16)


async def test_listeners_request_one_text_after_another() -> None:
    served: dict[int, int] = {}
    both_twice = asyncio.Event()

    async def notes(stream: Stream) -> None:
        served[stream.listener_number] = served.get(stream.listener_number, 0) + 1
        if len(served) == 2 and min(served.values()) >= 2:
            both_twice.set()
        await speaks(stream)

    async with LoadGenerator(connects_to(notes), TEXTS) as generator:
        generator.add(2, within_s=0.0)
        await both_twice.wait()
    assert set(served) == {0, 1}


async def test_until_underrun_ends_at_the_first_underrun() -> None:
    async with LoadGenerator(connects_to(stumbles), TEXTS) as generator:
        generator.add(1, within_s=0.0)
        seen = await generator.measure(3600, CpuMeter(), 1, until_underrun=True)
    assert seen.underruns == 1
    assert not seen.supplied


async def test_arrivals_are_an_open_loop() -> None:
    arrived, many = list[Stream](), asyncio.Event()

    async def never_answers(stream: Stream) -> None:
        arrived.append(stream)
        if len(arrived) == 20:
            many.set()
        await asyncio.Event().wait()

    async with LoadGenerator(connects_to(never_answers), TEXTS) as generator:
        generator.start_arrivals(rate_hz=1000)
        await many.wait()
    assert len({stream.listener_number for stream in arrived}) == len(arrived)


async def test_rejected_listener_retries_after_the_given_delay() -> None:
    tries, enough = list[Stream](), asyncio.Event()

    async def full(stream: Stream) -> None:
        tries.append(stream)
        if len(tries) == 3:
            enough.set()
        await rejects(stream)

    async with LoadGenerator(connects_to(full), TEXTS) as generator:
        generator.add(1, within_s=0.0)
        await enough.wait()
        seen = await generator.measure(0.0, CpuMeter(), 1)
    assert all(stream.outcome is Outcome.REJECTED for stream in tries)
    assert seen.streams == 0


async def test_failed_connection_is_counted_as_an_error() -> None:
    asked = asyncio.Event()

    class Nowhere:
        async def __aenter__(self) -> None:
            asked.set()
            raise ConnectionLost("no server")

        async def __aexit__(self, *_: object) -> None: ...

    async with LoadGenerator(Nowhere, TEXTS) as generator:  # type: ignore[arg-type]
        generator.add(1, within_s=0.0)
        await asked.wait()
        seen = await generator.measure(0.0, CpuMeter(), 1)
    assert seen.errors == {"no server": 1}
    assert not seen.supplied


async def test_pending_first_audio_is_awaited_after_the_window() -> None:
    begun, may_speak = asyncio.Event(), asyncio.Event()

    async def late(stream: Stream) -> None:
        begun.set()
        await may_speak.wait()
        await speaks(stream)

    async with LoadGenerator(connects_to(late), TEXTS) as generator:
        measuring = asyncio.create_task(generator.measure(0.05, CpuMeter(), 1))
        await asyncio.sleep(0)  # let it start
        generator.add(1, within_s=0.0)
        await begun.wait()
        asyncio.get_running_loop().call_later(0.1, may_speak.set)
        seen = await measuring
    assert (seen.streams, seen.unanswered) == (1, 0)

from sayline_tts.bench.load.process import Meter
from sayline_tts.bench.load.stream import Connect
from sayline_tts.bench.load.texts import Texts
from sayline_tts.bench.reference.capacity_search import Search
from sayline_tts.bench.report.config import Goal, Size
from tests.bench.fakes import connects_to, speaks, stumbles

TEXTS = Texts(((1, 0.08), (2, 0.16)), 0.08, 0.16)
GOAL = Goal(ttfa_target_ms=60_000, size=Size(seconds=0.2, runs=1, most_listeners=1))


def search(connect: Connect, told: list[str]) -> Search:
    return Search(GOAL, connect, Meter(), TEXTS, told.append)


async def test_a_number_that_holds_is_told_with_what_its_listeners_saw() -> None:
    told: list[str] = []
    ramp = await search(connects_to(speaks), told).run(1)
    assert ramp.listeners == ramp.most_supplied == 1
    assert ramp.best is not None
    assert ramp.best in ramp.probes
    assert told[0].startswith("1 listeners, 0 s: good")


async def test_where_nobody_is_served_there_is_no_best() -> None:
    ramp = await search(connects_to(stumbles), []).run(1)
    assert (ramp.listeners, ramp.best, ramp.most_supplied) == (0, None, 0)
    assert [probe.listeners for probe in ramp.probes] == [1]


async def test_one_number_is_measured_whatever_happens() -> None:
    ramp = await search(connects_to(stumbles), []).hold(2)
    assert ramp.listeners == 0
    assert ramp.best is not None
    assert ramp.best.listeners == 2

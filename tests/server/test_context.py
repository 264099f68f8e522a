"""Lead and pace; what a context answers is in test_session.py."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from server.context import Context
from server.outbox import Outbox
from server.playback import Playback
from server.protocol import Audio, Done, Error, Segment, Start
from server.settings import Settings
from server.worker import Worker
from tests.server.fakes import FakeEngine
from tests.server.peer import peer


class Line:
    """A worker, an outbox, and a socket that takes what the test lets it."""

    def __init__(self, engine: FakeEngine) -> None:
        self.engine, self.worker, self.outbox = engine, Worker(engine), Outbox()
        self.over: list[Context] = []

    async def open(self, context_id: str, text: str, max_lead_ms: float | None = None) -> Context:
        start = Start(context_id, max_lead_ms=max_lead_ms)
        context = Context(start, self.worker, self.outbox, Settings(max_lead_ms=2000), self.over.append)
        await context.open()
        context.push(text)
        context.end()
        return context

    async def send_one(self) -> Audio | Segment | Done | Error:
        out = await self.outbox.get()
        assert isinstance(out.event, Audio | Segment | Done | Error)
        if isinstance(out.event, Audio) and out.owner:
            out.owner.on_sent()
        return out.event


def made_ms(context: Context) -> float:
    assert context._utterance is not None
    return context._utterance.produced_ms


@pytest.fixture
async def line(engine: FakeEngine) -> AsyncIterator[Line]:
    line = Line(engine)
    line.worker.start()
    yield line
    await line.worker.stop()


async def test_while_nothing_can_be_sent_no_more_than_the_lead_is_made(line: Line, engine: FakeEngine) -> None:
    stalled = await line.open("stalled", "word " * 100, max_lead_ms=400)
    for number in range(3):
        other = await line.open(f"other{number}", "word " * 6, max_lead_ms=2000)
        await engine.until(lambda other=other: other in line.over)  # type: ignore[misc]
    assert 200 < made_ms(stalled) <= 400
    stalled.drop()


async def test_nobody_gets_more_lead_than_the_server_allows(line: Line, engine: FakeEngine) -> None:
    greedy = await line.open("greedy", "word " * 100, max_lead_ms=600_000)
    await engine.until(lambda: made_ms(greedy) > 1000)  # half of what is allowed: now it can wait for others
    for _ in range(50):
        await asyncio.sleep(0)
    assert made_ms(greedy) <= 2000
    greedy.drop()


async def test_what_is_sent_makes_room_only_when_it_has_been_played(line: Line, engine: FakeEngine) -> None:
    context = await line.open("a", "word " * 7, max_lead_ms=160)
    leads = []
    while not line.over:
        if isinstance(await line.send_one(), Audio):
            assert context._utterance is not None
            leads.append(context._utterance.lead_ms)
    assert len(leads) == 14
    assert max(leads) <= 160 + 80


async def test_a_listener_at_the_limit_is_served_on_without_polling(line: Line, engine: FakeEngine) -> None:
    await line.open("a", "word " * 7, max_lead_ms=160)
    schedules = 0
    original = engine.schedule

    def counting() -> object:
        nonlocal schedules
        schedules += 1
        return original()

    engine.schedule = counting  # type: ignore[assignment,method-assign]
    while not line.over:
        await line.send_one()
    assert schedules <= 4 * 14


async def test_cancelling_takes_back_what_was_not_sent(line: Line, engine: FakeEngine) -> None:
    context = await line.open("a", "word " * 100, max_lead_ms=1600)
    await engine.until(lambda: made_ms(context) > 800)
    for _ in range(3):
        await line.send_one()
    context.cancel()
    out = await line.outbox.get()
    assert getattr(out.event, "duration_ms", None) == 240
    assert line.over == [context]
    await engine.until(lambda: engine.running == 0)


async def test_who_says_that_little_was_heard_is_waited_for(line: Line, engine: FakeEngine) -> None:
    context = await line.open("a", "word " * 100, max_lead_ms=400)
    now_ms = 0.0
    context._playback = Playback(lambda: now_ms)
    for _ in range(3):
        await line.send_one()
    now_ms = 200.0
    assert context._utterance is not None
    assert made_ms(context) - context._utterance.lead_ms == 200
    context.played(40)
    assert made_ms(context) - context._utterance.lead_ms == 40
    context.drop()


@pytest.mark.parametrize("voice", ["bob", "eve"])
async def test_the_voice_may_come_or_fail_after_the_cancel(line: Line, engine: FakeEngine, voice: str) -> None:
    engine.fake_model.may_load.clear()
    context = Context(Start("a", voice), line.worker, line.outbox, Settings(), line.over.append)
    opening = asyncio.create_task(context.open())
    await asyncio.sleep(0)
    context.push("Hello there. ")
    context.cancel()
    engine.fake_model.may_load.set()
    await opening
    assert line.over == [context]
    assert line.worker.listeners == 0


async def test_a_worker_that_has_stopped_is_our_fault(line: Line, caplog: pytest.LogCaptureFixture) -> None:
    await line.worker.voice("ann")
    await line.worker.stop()
    context = Context(Start("a"), line.worker, line.outbox, Settings(), line.over.append)
    await context.open()
    assert (await line.outbox.get()).event == Error("internal", "internal error", True, "a")
    assert "has stopped" in caplog.text


async def test_a_reader_that_never_reads_pauses_alone(address: str, engine: FakeEngine) -> None:
    async with peer(address, max_queue=1, close_timeout=0.1) as stalled, peer(address) as other:
        await stalled.say("word " * 10_000, max_lead_ms=1000)
        await engine.until(lambda: bool(engine.utterances) and engine.utterances[0].lead_ms > 500)
        utterance = engine.utterances[0]
        for number in range(5):
            await other.say("All is well. " * 10, f"c{number}")
            await other.hear_all(f"c{number}")
            assert utterance.lead_ms <= 1000 + 80
        assert not utterance.over


async def test_a_peer_that_asks_for_errors_and_never_reads_them_is_not_read_any_more(address: str) -> None:
    async with peer(address, max_queue=1, close_timeout=0.1) as one, peer(address) as other:
        flood = asyncio.create_task(_flood(one, 5_000))
        for number in range(3):
            await other.say("All is well.", f"c{number}")
            await other.hear_all(f"c{number}")
        for _ in range(5_000):
            assert (await one.hear())["code"] == "bad_message"
        await flood


async def _flood(one: object, count: int) -> None:
    for _ in range(count):
        await one.socket.send("nope" * 100)  # type: ignore[attr-defined]

import asyncio

from sayline_tts.server.websocket.messages import Audio, Done, Error, Flushed, Segment, Word
from sayline_tts.server.websocket.outbox import MAX_REPLIES, CloseConnection, Outbox, Outgoing


class Source:
    def on_sent(self, out: Outgoing) -> None:
        pass


def audio(seq: int) -> Audio:
    return Audio("a", seq, 1920 * seq, b"")


async def take(outbox: Outbox, count: int) -> list[object]:
    return [(await outbox.get()).event for _ in range(count)]


async def test_events_leave_in_order() -> None:
    outbox, source = Outbox(), Source()
    outbox.put(audio(0), source)
    outbox.put(CloseConnection(1012, "restart"))
    assert await outbox.get() == Outgoing(audio(0), source)
    assert await outbox.get() == Outgoing(CloseConnection(1012, "restart"), None)


async def test_get_waits_for_an_event() -> None:
    outbox = Outbox()
    getting = asyncio.create_task(outbox.get())
    await asyncio.sleep(0)
    assert not getting.done()
    outbox.put(audio(0))
    assert (await getting).event == audio(0)


async def test_withdraw_removes_the_events_of_one_source() -> None:
    outbox, one, other = Outbox(), Source(), Source()
    for event, owner in ((audio(0), one), (audio(0), other), (Flushed("a", 1, 80), one), (audio(1), one)):
        outbox.put(event, owner)
    assert [out.event for out in outbox.withdraw(one)] == [audio(0), Flushed("a", 1, 80), audio(1)]
    assert outbox.withdraw(one) == []
    outbox.put(Done("a", 0, 0), one)
    assert await take(outbox, 2) == [audio(0), Done("a", 0, 0)]


async def test_requeued_events_go_first() -> None:
    outbox, one = Outbox(), Source()
    outbox.put(audio(2), one)
    outbox.requeue([Outgoing(audio(0), one), Outgoing(audio(1), one)])
    assert await take(outbox, 3) == [audio(0), audio(1), audio(2)]


async def test_drain_removes_everything() -> None:
    outbox = Outbox()
    for _ in range(MAX_REPLIES):
        outbox.put(Error("x", "y"))
    outbox.put(audio(0))
    assert len(outbox.drain()) == MAX_REPLIES + 1
    await outbox.wait_for_room()
    assert outbox.drain() == []


async def test_room_ends_when_many_replies_are_queued() -> None:
    outbox, source = Outbox(), Source()
    for number in range(MAX_REPLIES):
        await outbox.wait_for_room()
        for speech in (audio(number), Word("a", 0, "x", 0, 1, "x", 0, 80, True), Segment("a", 0, "x", 0, 1, 0, 80)):
            outbox.put(speech, source)  # which has its own bound
        outbox.put(Error("x", "y"))
    waiting = asyncio.create_task(outbox.wait_for_room())
    await asyncio.sleep(0)
    assert not waiting.done()
    await take(outbox, 4)
    await waiting


async def test_withdraw_makes_room() -> None:
    outbox, source = Outbox(), Source()
    for _ in range(MAX_REPLIES):
        outbox.put(Flushed("a", 0, 80), source)
    outbox.withdraw(source)
    await outbox.wait_for_room()

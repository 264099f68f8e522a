import asyncio

from sayline_tts.server.websocket.outbox import MAX_ANSWERS, Goodbye, Outbox, Outgoing
from sayline_tts.server.websocket.protocol import Audio, Done, Error, Flushed, Segment, ServerEvent, Word


class Speaker:
    def on_sent(self, event: ServerEvent) -> float:
        return 0.0


def audio(seq: int) -> Audio:
    return Audio("a", seq, 1920 * seq, b"")


async def drain(outbox: Outbox, count: int) -> list[object]:
    return [(await outbox.get()).event for _ in range(count)]


async def test_what_is_put_comes_out_in_order() -> None:
    outbox, speaker = Outbox(), Speaker()
    outbox.put(audio(0), speaker)
    outbox.put(Goodbye(1012, "restart"))
    assert await outbox.get() == Outgoing(audio(0), speaker)
    assert await outbox.get() == Outgoing(Goodbye(1012, "restart"), None)


async def test_getting_waits_for_something_to_send() -> None:
    outbox = Outbox()
    getting = asyncio.create_task(outbox.get())
    await asyncio.sleep(0)
    assert not getting.done()
    outbox.put(audio(0))
    assert (await getting).event == audio(0)


async def test_what_one_speaker_was_going_to_say_can_be_taken_back() -> None:
    outbox, one, other = Outbox(), Speaker(), Speaker()
    for event, owner in ((audio(0), one), (audio(0), other), (Flushed("a", 1, 80), one), (audio(1), one)):
        outbox.put(event, owner)
    assert [out.event for out in outbox.take_back(one)] == [audio(0), Flushed("a", 1, 80), audio(1)]
    assert outbox.take_back(one) == []
    outbox.put(Done("a", 0, 0), one)
    assert await drain(outbox, 2) == [audio(0), Done("a", 0, 0)]


async def test_what_has_to_be_sent_again_goes_first() -> None:
    outbox, one = Outbox(), Speaker()
    outbox.put(audio(2), one)
    outbox.put_back([Outgoing(audio(0), one), Outgoing(audio(1), one)])
    assert await drain(outbox, 3) == [audio(0), audio(1), audio(2)]


async def test_everything_can_be_taken_at_once() -> None:
    outbox = Outbox()
    for _ in range(MAX_ANSWERS):
        outbox.put(Error("x", "y"))
    outbox.put(audio(0))
    assert len(outbox.take_all()) == MAX_ANSWERS + 1
    await outbox.room()
    assert outbox.take_all() == []


async def test_there_is_room_until_many_answers_wait() -> None:
    outbox, speaker = Outbox(), Speaker()
    for number in range(MAX_ANSWERS):
        await outbox.room()
        for speech in (audio(number), Word("a", 0, "x", 0, 1, "x", 0, 80, True), Segment("a", 0, "x", 0, 1, 0, 80)):
            outbox.put(speech, speaker)  # which has its own bound
        outbox.put(Error("x", "y"))
    waiting = asyncio.create_task(outbox.room())
    await asyncio.sleep(0)
    assert not waiting.done()
    await drain(outbox, 4)
    await waiting


async def test_taking_back_makes_room() -> None:
    outbox, speaker = Outbox(), Speaker()
    for _ in range(MAX_ANSWERS):
        outbox.put(Flushed("a", 0, 80), speaker)
    outbox.take_back(speaker)
    await outbox.room()

import asyncio

from server.outbox import MAX_ANSWERS, Goodbye, Outbox, Outgoing
from server.protocol import Audio, Done, Error, Segment


class Speaker:
    def on_sent(self) -> None:
        pass


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


async def test_silence_takes_back_one_speakers_audio_and_nothing_else() -> None:
    outbox, one, other = Outbox(), Speaker(), Speaker()
    outbox.put(Done("a", 80), one)  # of an earlier context of this name
    outbox.put(audio(0), one)
    outbox.put(audio(0), other)
    outbox.put(Segment("a", "x", 0, 80), one)
    outbox.put(audio(1), one)
    assert outbox.silence(one) == 2
    assert outbox.silence(one) == 0
    outbox.put(Done("a", 0), one)
    assert await drain(outbox, 3) == [Done("a", 80), audio(0), Done("a", 0)]


async def test_there_is_room_until_many_answers_wait() -> None:
    outbox, speaker = Outbox(), Speaker()
    for number in range(MAX_ANSWERS):
        await outbox.room()
        outbox.put(audio(number), speaker)  # audio has its own bound
        outbox.put(Error("x", "y"))
    waiting = asyncio.create_task(outbox.room())
    await asyncio.sleep(0)
    assert not waiting.done()
    await drain(outbox, 2)
    await waiting


async def test_silence_makes_room() -> None:
    outbox, speaker = Outbox(), Speaker()
    for _ in range(MAX_ANSWERS):
        outbox.put(Segment("a", "x", 0, 80), speaker)
    outbox.silence(speaker)
    await outbox.room()

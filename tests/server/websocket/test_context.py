"""Lead and pace; what a context answers is in test_session.py."""

import asyncio
from collections.abc import AsyncIterator
from itertools import pairwise
from typing import Any

import numpy as np
import pytest

from sayline_tts.engine.checkpoint.alignment_heads import AlignmentHeads
from sayline_tts.engine.errors import InputError
from sayline_tts.server.access.limits import Caller, Ledger, Limits
from sayline_tts.server.app_state import Shared
from sayline_tts.server.metrics import Metrics
from sayline_tts.server.settings import Settings
from sayline_tts.server.synthesis.engine_loop import Worker
from sayline_tts.server.synthesis.playback import Playback
from sayline_tts.server.websocket.context import Context
from sayline_tts.server.websocket.outbox import Outbox
from sayline_tts.server.websocket.protocol import (
    Audio,
    Done,
    Error,
    Flushed,
    ProtocolError,
    Segment,
    ServerEvent,
    Start,
    Word,
    WordEnd,
)
from tests.server.fakes import FakeEngine
from tests.server.peer import peer

ANYBODY = Caller("anonymous", Limits(), "anonymous")


class Line:
    """A worker, an outbox, and a socket that takes what the test lets it."""

    def __init__(self, engine: FakeEngine) -> None:
        self.engine, self.worker, self.outbox = engine, Worker(engine), Outbox()
        self.metrics = Metrics()
        self.over: list[Context] = []

    def make(self, start: Start, lead_ms: float = 1000, caller: Caller = ANYBODY) -> Context:
        shared = Shared(self.worker, Settings(), Ledger(), self.metrics)
        return Context(start, caller, shared, self.outbox, lead_ms, self.over.append)

    async def open(self, context_id: str, text: str, max_lead_ms: float = 1000, **wishes: Any) -> Context:
        context = self.make(Start(context_id, **wishes), max_lead_ms)
        await context.open()
        context.push(text)
        context.end()
        return context

    async def send_one(self) -> ServerEvent:
        """Audio, or what is no word."""
        while True:
            out = await self.outbox.get()
            assert isinstance(out.event, ServerEvent)
            if out.owner:
                out.owner.on_sent(out.event)
            if not isinstance(out.event, Word):
                return out.event

    async def send_all(self) -> list[ServerEvent]:
        """Until all contexts are over and all is sent. Nobody has to wait for what is played."""
        sent: list[ServerEvent] = []
        while not (self.over and not self.outbox._waiting):
            out = await self.outbox.get()
            assert isinstance(out.event, ServerEvent)
            if out.owner:
                out.owner.on_sent(out.event)
            sent.append(out.event)
        return sent


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


async def test_nobody_gets_more_lead_than_he_has(line: Line, engine: FakeEngine) -> None:
    greedy = await line.open("greedy", "word " * 100, max_lead_ms=2000)
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
    assert getattr(out.event, "generated_ms", 0) > 800
    assert line.over == [context]
    await engine.until(lambda: engine.running == 0)


async def test_who_says_that_little_was_heard_is_waited_for(line: Line, engine: FakeEngine) -> None:
    context = await line.open("a", "word " * 100, max_lead_ms=400)
    now_ms = 0.0
    context._delivery.playback = Playback(lambda: now_ms)
    for _ in range(3):
        await line.send_one()
    now_ms = 200.0
    assert context._utterance is not None
    assert made_ms(context) - context._utterance.lead_ms == 200
    context.ack(40)
    assert made_ms(context) - context._utterance.lead_ms == 40
    context.drop()


@pytest.mark.parametrize("voice", ["bob", "eve"])
async def test_the_voice_may_come_or_fail_after_the_cancel(line: Line, engine: FakeEngine, voice: str) -> None:
    engine.fake_model.may_load.clear()
    context = line.make(Start("a", voice))
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
    context = line.make(Start("a"))
    await context.open()
    assert (await line.outbox.get()).event == Error("internal", "internal error", True, "a", seq=0)
    assert "has stopped" in caplog.text


def check_words(sent: list[ServerEvent], text: str, frame_ms: float = 80.0) -> list[Word]:
    """Every word once, in order, no later than its audio, within its segment."""
    words = [event for event in sent if isinstance(event, Word)]
    assert [word.text for word in words] == text.split()
    assert all(text[word.start_char : word.end_char] == word.text for word in words)
    starts = [word.start_ms for word in words]
    assert starts == sorted(starts)
    sent_ms = 0.0
    for event in sent:
        sent_ms += frame_ms * isinstance(event, Audio)
        if isinstance(event, Word):
            assert sent_ms - 1e-6 <= event.start_ms <= event.end_ms
    segments = [event for event in sent if isinstance(event, Segment)]
    for word in words:
        (segment,) = (one for one in segments if one.start_char <= word.start_char < one.end_char)
        assert segment.start_ms - 1e-6 <= word.start_ms <= word.end_ms <= segment.end_ms + 1e-6
        assert segment.text == text[segment.start_char : segment.end_char]
    return words


async def test_words_are_told_before_their_audio_and_where_they_were_written(line: Line) -> None:
    text = "Hello there, you. How are you? Fine."
    await line.open("a", text, 60_000)
    sent = await line.send_all()
    assert all(word.estimated for word in check_words(sent, text))
    assert [event.seq for event in sent] == list(range(len(sent)))  # type: ignore[union-attr]


@pytest.mark.parametrize("speed", [1.0, 0.5, 2.0])
async def test_words_of_a_model_that_shows_them_are_told_when_they_begin_and_when_they_are_over(
    line: Line, engine: FakeEngine, speed: float
) -> None:
    engine.fake_model.heads = AlignmentHeads(((0, 0),))
    text = "It is $5. [pause:0.4] Yes, it is."
    await line.open("a", text, 60_000, speed=speed, seed=5)
    sent = await line.send_all()
    words = [event for event in sent if isinstance(event, Word)]
    ends = [event for event in sent if isinstance(event, WordEnd)]
    assert [(word.text, word.spoken, word.estimated) for word in words][2] == ("$5.", "five dollars.", False)
    assert [(end.start_char, end.end_char, end.start_ms) for end in ends] == [
        (word.start_char, word.end_char, word.start_ms) for word in words
    ]
    sent_ms = 0.0
    for event in sent:
        sent_ms += 80.0 * isinstance(event, Audio)
        if isinstance(event, Word):
            assert event.start_ms >= sent_ms - 1e-6
        if isinstance(event, WordEnd):
            assert event.end_ms >= sent_ms - 1e-6
    assert all(a.end_ms <= b.start_ms + 1e-6 for a, b in pairwise(ends))
    segments = [event for event in sent if isinstance(event, Segment)]
    assert ends[3].start_ms == segments[1].start_ms
    assert [ends[0].start_ms, ends[-1].end_ms] == [segments[0].start_ms, segments[1].end_ms]


async def test_what_was_heard_goes_by_the_true_times_of_words(line: Line, engine: FakeEngine) -> None:
    engine.fake_model.heads = AlignmentHeads(((0, 0),))
    context = line.make(Start("a", seed=5), 60_000)
    await context.open()
    context.push("One two three four five. ")
    while not isinstance(event := await line.send_one(), Segment):
        assert isinstance(event, Audio | WordEnd)
    assert [context._delivery.parted(ms).heard for ms in (79, 81, 239, 241)] == ["", "One", "One", "One two"]


@pytest.mark.parametrize("speed", [0.5, 0.8, 1.25, 2.0])
async def test_at_another_speed_there_is_so_much_audio_and_times_are_those_that_are_heard(
    line: Line, speed: float
) -> None:
    text = "One two three four five. Six seven eight nine ten. Eleven twelve."
    await line.open("a", text, 60_000, speed=speed)
    sent = await line.send_all()
    frames = [event for event in sent if isinstance(event, Audio)]
    done = sent[-1]
    assert isinstance(done, Done)
    assert done.duration_ms == 80 * len(frames)
    assert [frame.start_sample for frame in frames] == [1920 * number for number in range(len(frames))]
    assert 24 / speed <= len(frames) <= 24 / speed + 3  # each of three segments is filled up to whole frames
    check_words(sent, text)
    ends = [event.end_ms for event in sent if isinstance(event, Segment)]
    assert ends[-1] == done.duration_ms
    assert all(end % 80 == 0 for end in ends)


@pytest.mark.parametrize("speed", [1.0, 2.0])
async def test_a_pause_is_so_much_silence(line: Line, speed: float) -> None:
    await line.open("a", "One. [pause:0.8] Two.", 60_000, speed=speed, format="pcm", seed=5)
    sent = await line.send_all()
    one, two = (event for event in sent if isinstance(event, Segment))
    assert two.start_ms - one.end_ms == 800
    frames = [np.frombuffer(event.data, "<i2") for event in sent if isinstance(event, Audio)]
    first = round(one.end_ms / 80)
    assert not np.concatenate(frames[first : first + 10]).any()
    assert frames[first - 1].any()


async def test_who_hears_faster_is_served_faster(line: Line, engine: FakeEngine) -> None:
    """The lead is counted in what the listener hears, so the engine makes twice as much for it."""
    context = await line.open("a", "word " * 100, max_lead_ms=800, speed=2.0)
    await engine.until(lambda: made_ms(context) > 400)
    for _ in range(50):
        await asyncio.sleep(0)
    assert context._utterance is not None
    assert 400 < context._utterance.produced_frames * 80 / 2 <= 800
    context.drop()


async def cancelled_at(line: Line, played_ms: float | None, frames: int = 8) -> Any:
    context = line.make(Start("a"), 60_000)
    await context.open()
    context.push("Hello there. How are you, **friend**? ")
    await line.engine.until(lambda: made_ms(context) >= 800)
    for _ in range(frames):
        while not isinstance(await line.send_one(), Audio):
            pass
    context.cancel(played_ms)
    event = await line.send_one()
    assert not line.outbox._waiting
    return event


@pytest.mark.parametrize(
    ("played_ms", "heard"),
    [(0, ""), (150, "Hello"), (330, "Hello there."), (1e9, "Hello there. How are")],
)
async def test_cancelled_tells_what_was_heard(line: Line, played_ms: float, heard: str) -> None:
    event = await cancelled_at(line, played_ms)
    assert event.heard_text == heard
    assert event.heard_chars == len(heard)
    assert event.heard_text + event.unheard_text == "Hello there. How are you, **friend**? "
    assert event.duration_ms == 640
    assert event.generated_ms >= 800


async def test_without_a_report_the_clock_tells_what_was_heard(line: Line) -> None:
    event = await cancelled_at(line, None)
    assert event.heard_text == ""  # it was sent just now
    assert event.unheard_text == "Hello there. How are you, **friend**? "


async def test_what_was_lost_is_not_counted_as_heard(line: Line, engine: FakeEngine) -> None:
    context = await line.open("a", "word " * 100, max_lead_ms=1600)
    await engine.until(lambda: made_ms(context) > 800)
    lost = [await line.send_one() for _ in range(3)]
    assert context.sent_ms == 240
    context.rewind(lost[1:])
    assert context.sent_ms == 80
    assert context._delivery.playback.sent_ms == 80
    context.drop()


async def test_flushes_are_answered_each_behind_its_audio(line: Line) -> None:
    context = line.make(Start("a"), 60_000)
    await context.open()
    context.flush("first")
    context.push("Hello there")
    context.flush("second")
    context.flush()
    context.end()
    sent = [event for event in await line.send_all() if not isinstance(event, Word)]
    assert [type(event) for event in sent] == [Flushed, *[Audio] * 4, Segment, Flushed, Flushed, Done]
    assert [event.at_ms for event in sent if isinstance(event, Flushed)] == [0, 320, 320]


async def test_flushes_that_wait_have_a_limit(line: Line, engine: FakeEngine) -> None:
    engine.runner.may_step.clear()
    context = line.make(Start("a"))
    await context.open()
    context.push("Hello there. ")
    for _ in range(100):
        context.flush()
    with pytest.raises(ProtocolError, match="100 flushes"):
        context.flush()
    context.drop()
    engine.runner.may_step.set()


async def test_a_verbatim_phrase_has_a_limit(line: Line) -> None:
    context = line.make(Start("a", mode="verbatim"))
    with pytest.raises(ProtocolError, match="send it in two"):
        context.push("word " * 1_000)
    context.push("word " * 100)
    context.drop()


async def test_a_callers_limits_hold(line: Line) -> None:
    caller = Caller("key", Limits(contexts=1, chars_per_minute=10, voices=("bob",)), "key")
    shared = Shared(line.worker, Settings(), Ledger(), line.metrics)
    context = Context(Start("a"), caller, shared, line.outbox, 1000, line.over.append)
    with pytest.raises(InputError, match="may have 1"):
        Context(Start("b"), caller, shared, line.outbox, 1000, line.over.append)
    context.push("Hello. ")
    with pytest.raises(ProtocolError, match="10 characters a minute") as caught:
        context.push("Hello. ")
    assert caught.value.code == "rate_limited"
    assert caught.value.retry_after_ms
    await context.open()
    assert line.engine.fake_model.loaded == ["bob"]
    context.drop()
    other = Context(Start("b", voice="ann"), caller, shared, line.outbox, 1000, line.over.append)
    await other.open()
    (error,) = [out.event for out in line.outbox.take_all() if isinstance(out.event, Error)]
    assert error.code == "voice_not_allowed"


async def test_what_happens_is_counted(line: Line) -> None:
    await line.open("a", "Hello there.", 60_000)
    await line.send_all()
    shown = line.metrics.render().decode()
    for counted in (
        "sayline_frames_sent_total 4.0",
        "sayline_first_audio_seconds_count 1.0",
        'sayline_encode_seconds_count{format="opus"} 4.0',
        'sayline_contexts_over_total{outcome="done"} 1.0',
        'sayline_key_contexts_total{key="anonymous"} 1.0',
        'sayline_key_chars_total{key="anonymous"} 12.0',
        'sayline_key_audio_seconds_total{key="anonymous"} 0.32',
    ):
        assert counted in shown, counted


async def test_a_listener_who_ran_dry_in_the_middle_of_speech_is_counted(line: Line, engine: FakeEngine) -> None:
    context = await line.open("a", "word " * 100, max_lead_ms=1600)
    await engine.until(lambda: made_ms(context) > 800)
    clock = iter((0.0, 40.0, 500.0))
    now_ms = [0.0]
    context._delivery.playback = Playback(lambda: now_ms[0])
    for now_ms[0] in clock:
        await line.send_one()
    assert "sayline_underruns_total 1.0" in line.metrics.render().decode()
    assert "sayline_underrun_seconds_total 0.34" in line.metrics.render().decode()
    context.drop()


async def test_a_reader_that_never_reads_pauses_alone(address: str, engine: FakeEngine) -> None:
    async with peer(address, max_queue=1, close_timeout=0.1) as stalled, peer(address) as other:
        await stalled.say("word " * 10_000, max_lead_ms=1000)
        await engine.until(lambda: bool(engine.utterances) and engine.utterances[0].lead_ms > 500)
        utterance = engine.utterances[0]
        for number in range(5):
            await other.say("All is well. " * 10, f"c{number}", max_lead_ms=6000)
            await other.hear_all(f"c{number}")
            assert utterance.lead_ms <= 1000 + 80
        assert not utterance.over


async def test_a_peer_that_asks_for_errors_and_never_reads_them_is_not_read_any_more(address: str) -> None:
    async with peer(address, max_queue=1, close_timeout=0.1) as one, peer(address) as other:
        flood = asyncio.create_task(_flood(one, 1_500))
        for number in range(3):
            await other.say("All is well.", f"c{number}")
            await other.hear_all(f"c{number}")
        for _ in range(1_500):
            assert (await one.hear())["code"] == "bad_message"
        await flood


async def _flood(one: object, count: int) -> None:
    for _ in range(count):
        await one.socket.send("nope" * 100)  # type: ignore[attr-defined]

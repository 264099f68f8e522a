"""Lead, pace, words and limits of a context."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from msgspec import UNSET

from sayline_tts.engine.checkpoint.alignment_heads import AlignmentHeads
from sayline_tts.engine.errors import InputError
from sayline_tts.engine.text.lexicon import Entry
from sayline_tts.server.access.limits import Caller, Limits, Quotas
from sayline_tts.server.accounting.ledger import Totals
from sayline_tts.server.accounting.usage import Usage
from sayline_tts.server.app_state import AppState
from sayline_tts.server.lexicons.store import LexiconStore
from sayline_tts.server.metrics import Metrics
from sayline_tts.server.settings import Settings
from sayline_tts.server.synthesis.engine_loop import EngineLoop
from sayline_tts.server.websocket.context import Context
from sayline_tts.server.websocket.messages import (
    Audio,
    Cancelled,
    Done,
    Error,
    Flushed,
    Progress,
    Segment,
    ServerEvent,
    Start,
    Word,
    WordEnd,
)
from sayline_tts.server.websocket.outbox import Outbox
from sayline_tts.server.websocket.protocol import ContextState, ProtocolError
from sayline_tts.server.websocket.replay_buffer import ReplayBuffer
from tests.server.fakes import FakeEngine
from tests.server.stream_client import connected_client

ANONYMOUS_CALLER = Caller("anonymous", Limits(), "anonymous")


class Harness:
    """An engine loop, an outbox, and a socket that sends only what the test makes it send."""

    def __init__(self, engine: FakeEngine) -> None:
        self.engine, self.engine_loop, self.outbox = engine, EngineLoop(engine), Outbox()
        self.metrics, self.replay_buffer = Metrics(), ReplayBuffer(1e6)
        self.app_state = AppState(self.engine_loop, Settings(), Quotas(), self.metrics)
        self.ended: list[Context] = []

    def make(self, start: Start, lead_ms: float = 1000, caller: Caller = ANONYMOUS_CALLER) -> Context:
        return Context(start, caller, self.app_state, self.outbox, self.replay_buffer, lead_ms, self.ended.append)

    async def open(self, context_id: str, text: str, max_lead_ms: float = 1000, **options: Any) -> Context:
        context = self.make(Start(context_id, **options), max_lead_ms)
        await context.open()
        context.push(text)
        context.end()
        return context

    async def send_one(self) -> ServerEvent:
        """Send up to the next event that is not a word and return it."""
        while True:
            out = await self.outbox.get()
            assert isinstance(out.event, ServerEvent)
            if out.source:
                out.source.on_sent(out)
            if not isinstance(out.event, Word):
                return out.event

    async def send_all(self) -> list[ServerEvent]:
        """Send until every context has ended and the outbox is empty, without waiting for playback."""
        sent: list[ServerEvent] = []
        while not (self.ended and not self.outbox._queue):
            out = await self.outbox.get()
            assert isinstance(out.event, ServerEvent)
            if out.source:
                out.source.on_sent(out)
            sent.append(out.event)
        return sent


def produced_ms(context: Context) -> float:
    assert context._utterance is not None
    return context._utterance.produced_ms


@pytest.fixture
async def harness(engine: FakeEngine) -> AsyncIterator[Harness]:
    harness = Harness(engine)
    harness.engine_loop.start()
    yield harness
    await harness.engine_loop.stop()


async def test_generation_stops_at_the_lead_while_nothing_is_sent(harness: Harness, engine: FakeEngine) -> None:
    stalled = await harness.open("stalled", "word " * 100, max_lead_ms=400)
    for number in range(3):
        other = await harness.open(f"other{number}", "word " * 6, max_lead_ms=2000)
        await engine.wait_until(lambda other=other: other in harness.ended)  # type: ignore[misc]
    assert 200 < produced_ms(stalled) <= 400
    stalled.drop()


@pytest.mark.parametrize(("names", "spoken"), [(None, "default"), (["own"], "own one"), ([], "Ida")])
async def test_words_are_said_as_lexicons_say(
    harness: Harness, tmp_path: Path, names: list[str] | None, spoken: str
) -> None:
    harness.app_state = replace(harness.app_state, lexicons=LexiconStore(tmp_path / "lexicons"))
    harness.app_state.lexicons.put("default", "anonymous", [Entry("Ida", "default")])
    harness.app_state.lexicons.put("own", "anonymous", [Entry("Ida", "own one", voice="bob"), Entry("Ida", "any")])
    await harness.open("context", "Ida", lexicons=names, voice="bob")
    words = [event for event in await harness.send_all() if isinstance(event, Word)]
    assert [(word.text, word.spoken) for word in words] == [("Ida", spoken)]


async def test_unknown_lexicon_fails_the_context(harness: Harness) -> None:
    context = harness.make(Start("context", lexicons=("nope",)))
    context.push("Ida")
    await context.open()
    (error,) = [event for event in await harness.send_all() if isinstance(event, Error)]
    assert (error.code, error.final) == ("unknown_lexicon", True)


async def test_lead_never_exceeds_its_limit(harness: Harness, engine: FakeEngine) -> None:
    context = await harness.open("context", "word " * 100, max_lead_ms=2000)
    await engine.wait_until(
        lambda: produced_ms(context) > 1000
    )  # above the low-water mark, where it may wait for others
    for _ in range(50):
        await asyncio.sleep(0)
    assert produced_ms(context) <= 2000
    context.drop()


async def test_sent_audio_counts_as_lead_until_it_is_played(harness: Harness, engine: FakeEngine) -> None:
    context = await harness.open("a", "word " * 7, max_lead_ms=160)
    leads = []
    while not harness.ended:
        if isinstance(await harness.send_one(), Audio):
            assert context._utterance is not None
            leads.append(context._utterance.lead_ms)
    assert len(leads) == 14
    assert max(leads) <= 160 + 80


async def test_context_at_its_lead_continues_without_polling(harness: Harness, engine: FakeEngine) -> None:
    await harness.open("a", "word " * 7, max_lead_ms=160)
    schedules = 0
    original = engine.schedule

    def counting() -> object:
        nonlocal schedules
        schedules += 1
        return original()

    engine.schedule = counting  # type: ignore[assignment,method-assign]
    while not harness.ended:
        await harness.send_one()
    assert schedules <= 4 * 14


async def test_cancel_withdraws_unsent_audio(harness: Harness, engine: FakeEngine) -> None:
    context = await harness.open("a", "word " * 100, max_lead_ms=1600)
    await engine.wait_until(lambda: produced_ms(context) > 800)
    for _ in range(3):
        await harness.send_one()
    context.cancel()
    out = await harness.outbox.get()
    assert getattr(out.event, "duration_ms", None) == 240
    assert getattr(out.event, "generated_ms", 0) > 800
    assert harness.ended == [context]
    await engine.wait_until(lambda: engine.running == 0)


async def test_ack_reduces_the_played_position(harness: Harness, engine: FakeEngine) -> None:
    context = await harness.open("a", "word " * 100, max_lead_ms=400)
    now_ms = 0.0
    context.events.playback._now_ms = lambda: now_ms
    for _ in range(3):
        await harness.send_one()
    now_ms = 200.0
    assert context._utterance is not None
    assert produced_ms(context) - context._utterance.lead_ms == 200
    context.ack(40)
    assert produced_ms(context) - context._utterance.lead_ms == 40
    context.drop()


@pytest.mark.parametrize("voice", ["bob", "eve"])
async def test_voice_may_load_or_fail_after_the_cancel(harness: Harness, engine: FakeEngine, voice: str) -> None:
    engine.fake_model.may_load.clear()
    context = harness.make(Start("a", voice))
    opening = asyncio.create_task(context.open())
    await asyncio.sleep(0)
    context.push("Hello there. ")
    context.cancel()
    engine.fake_model.may_load.set()
    await opening
    assert harness.ended == [context]
    assert len(harness.engine_loop.streams) == 0


async def test_stopped_engine_loop_is_an_internal_error(harness: Harness, caplog: pytest.LogCaptureFixture) -> None:
    await harness.engine_loop.voice("ann")
    await harness.engine_loop.stop()
    context = harness.make(Start("a"))
    await context.open()
    context.push("Hello there. ")
    assert (await harness.outbox.get()).event == Error("internal", "internal error", True, "a", seq=0)
    assert "has stopped" in caplog.text


def check_words(sent: list[ServerEvent], text: str, frame_ms: float = 80.0) -> list[Word]:
    """Check that every word is sent once, in order, no later than its audio, and lies within its segment."""
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


async def test_words_precede_their_audio_and_have_their_offsets(harness: Harness) -> None:
    text = "Hello there, you. How are you? Fine."
    await harness.open("a", text, 60_000)
    sent = await harness.send_all()
    assert all(word.estimated for word in check_words(sent, text))
    assert [event.seq for event in sent] == list(range(len(sent)))  # type: ignore[union-attr]


@pytest.mark.parametrize("speed", [1.0, 0.5, 2.0])
async def test_aligned_words_are_sent_at_their_start_and_at_their_end(
    harness: Harness, engine: FakeEngine, speed: float
) -> None:
    engine.fake_model.heads = AlignmentHeads(((0, 0),))
    text = "It is $5. [pause:0.4] Yes, it is."
    await harness.open("a", text, 60_000, speed=speed, seed=5)
    sent = await harness.send_all()
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


async def test_word_that_the_model_left_out_is_marked_and_counted(harness: Harness, engine: FakeEngine) -> None:
    engine.fake_model.heads, engine.runner.skipped_words = AlignmentHeads(((0, 0),)), {1}
    await harness.open("a", "One two three four. One two three.", 60_000)
    sent = await harness.send_all()
    words = [event for event in sent if isinstance(event, Word)]
    assert [word.start_char for word in words if word.missed is True] == [4, 24]
    assert {word.missed for word in words} == {True, UNSET}
    done = sent[-1]
    assert isinstance(done, Done)
    assert done.missed_words == 2
    assert "sayline_missed_words_total 2.0" in harness.metrics.render()[0].decode()


@pytest.mark.parametrize("skipped", [set[int](), {9}])
async def test_guarded_context_makes_frames_again_and_sends_each_once(
    harness: Harness, engine: FakeEngine, skipped: set[int]
) -> None:
    engine.fake_model.heads, engine.runner.skipped_words = AlignmentHeads(((0, 0),)), skipped
    text = "one two three four five six seven eight nine ten eleven twelve."
    sent = []
    for guard in (False, True):
        harness.ended.clear()
        harness.app_state = replace(harness.app_state, settings=Settings(guard=guard))
        context = await harness.open(f"guard {guard}", text, 60_000, seed=5, format="pcm")
        sent.append(await harness.send_all())
        assert context._utterance is not None
        assert context._utterance.guarded is guard
        assert bool(context._utterance.retries) is (guard and bool(skipped))
    plain, guarded = ([event.data for event in part if isinstance(event, Audio)] for part in sent)
    assert plain == guarded, "the fake makes the same frame again"


async def test_heard_text_uses_exact_word_times(harness: Harness, engine: FakeEngine) -> None:
    engine.fake_model.heads = AlignmentHeads(((0, 0),))
    context = harness.make(Start("a", seed=5), 60_000)
    await context.open()
    context.push("One two three four five. ")
    while not isinstance(event := await harness.send_one(), Segment):
        assert isinstance(event, Audio | WordEnd)
    assert [context.events.transcript.split(ms).heard for ms in (79, 81, 239, 241)] == ["", "One", "One", "One two"]


@pytest.mark.parametrize("speed", [0.5, 0.8, 1.25, 2.0])
async def test_speed_changes_the_amount_of_audio_and_all_times(harness: Harness, speed: float) -> None:
    text = "One two three four five. Six seven eight nine ten. Eleven twelve."
    await harness.open("a", text, 60_000, speed=speed)
    sent = await harness.send_all()
    frames = [event for event in sent if isinstance(event, Audio)]
    done = sent[-1]
    assert isinstance(done, Done)
    assert done.duration_ms == 80 * len(frames)
    assert [frame.start_sample for frame in frames] == [1920 * number for number in range(len(frames))]
    assert 24 / speed <= len(frames) <= 24 / speed + 3  # each of three segments is padded to whole frames
    check_words(sent, text)
    ends = [event.end_ms for event in sent if isinstance(event, Segment)]
    assert ends[-1] == done.duration_ms
    assert all(end % 80 == 0 for end in ends)


@pytest.mark.parametrize("speed", [1.0, 2.0])
async def test_pause_is_silence_of_its_length(harness: Harness, speed: float) -> None:
    await harness.open("a", "One. [pause:0.8] Two.", 60_000, speed=speed, format="pcm", seed=5)
    sent = await harness.send_all()
    one, two = (event for event in sent if isinstance(event, Segment))
    assert two.start_ms - one.end_ms == 800
    frames = [np.frombuffer(event.data, "<i2") for event in sent if isinstance(event, Audio)]
    first = round(one.end_ms / 80)
    assert not np.concatenate(frames[first : first + 10]).any()
    assert frames[first - 1].any()


async def test_faster_playback_gets_more_engine_frames(harness: Harness, engine: FakeEngine) -> None:
    """The lead counts the listener's audio, so at double speed the engine generates twice as much."""
    context = await harness.open("a", "word " * 100, max_lead_ms=800, speed=2.0)
    await engine.wait_until(lambda: produced_ms(context) > 400)
    for _ in range(50):
        await asyncio.sleep(0)
    assert context._utterance is not None
    assert 400 < context._utterance.buffer.produced_frames * 80 / 2 <= 800
    context.drop()


async def cancelled_at(harness: Harness, played_ms: float | None, frames: int = 8) -> Any:
    context = harness.make(Start("a"), 60_000)
    await context.open()
    context.push("Hello there. How are you, **friend**? ")
    await harness.engine.wait_until(lambda: produced_ms(context) >= 800)
    for _ in range(frames):
        while not isinstance(await harness.send_one(), Audio):
            pass
    context.cancel(played_ms)
    event = await harness.send_one()
    assert not harness.outbox._queue
    return event


@pytest.mark.parametrize(
    ("played_ms", "heard"),
    [(0, ""), (150, "Hello"), (330, "Hello there."), (1e9, "Hello there. How are")],
)
async def test_cancelled_has_the_heard_text(harness: Harness, played_ms: float, heard: str) -> None:
    event = await cancelled_at(harness, played_ms)
    assert event.heard_text == heard
    assert event.heard_chars == len(heard)
    assert event.heard_text + event.unheard_text == "Hello there. How are you, **friend**? "
    assert event.duration_ms == 640
    assert event.generated_ms >= 800


async def test_cancelled_bills_what_was_begun(harness: Harness) -> None:
    event = await cancelled_at(harness, 150)
    assert isinstance(event.usage, Usage)
    # The engine has begun the second of two sentences, whose last word ends at 34.
    assert (event.usage.taken_chars, event.usage.billed_chars) == (38, 34)
    assert (event.usage.generated_ms, event.usage.heard_ms) == (event.generated_ms, 150)
    assert harness.app_state.ledger.rows()[0].totals == Totals.of(event.usage)


async def test_text_behind_a_cancellation_is_not_billed(harness: Harness, engine: FakeEngine) -> None:
    context = harness.make(Start("a"), 320)
    await context.open()
    context.push("One two three. Four five six. Seven eight nine. ")
    await engine.wait_until(lambda: produced_ms(context) >= 240)
    for _ in range(20):
        await asyncio.sleep(0)
    context.cancel(0)
    event = (await harness.send_all())[-1]
    assert isinstance(event, Cancelled)
    assert isinstance(event.usage, Usage)
    assert (event.usage.taken_chars, event.usage.billed_chars) == (48, len("One two three."))
    assert event.usage.first_audio_ms is not UNSET


async def test_context_without_audio_has_no_first_audio(harness: Harness) -> None:
    context = harness.make(Start("a"))
    context.push("Hello")
    context.cancel()
    (event,) = await harness.send_all()
    assert isinstance(event, Cancelled)
    assert event.usage == Usage(taken_chars=5, billed_chars=0, generated_ms=0, heard_ms=0)


async def test_time_in_the_queue_is_accounted(harness: Harness, engine: FakeEngine) -> None:
    now_s = 100.0
    context = harness.make(Start("a"))
    context.events._now_s = lambda: now_s
    context.events.on_queue_position(2)
    now_s = 101.0
    context.events.on_queue_position(1)
    now_s = 103.5
    assert context.events.queued_ms == 3500
    context.events.on_queue_position(None)
    now_s = 109.0
    assert context.events.queued_ms == 3500
    context.drop()
    assert harness.app_state.ledger.rows()[0].totals.queued_ms == 3500


async def test_speech_that_fails_inside_the_server_is_not_billed(harness: Harness, engine: FakeEngine) -> None:
    context = await harness.open("a", "word " * 100, max_lead_ms=400)
    await engine.wait_until(lambda: produced_ms(context) >= 240)
    context.fail("internal", "internal error")
    totals = harness.app_state.ledger.rows()[0].totals
    assert (totals.utterances, totals.taken_chars, totals.billed_chars) == (1, 500, 0)
    assert totals.generated_ms >= 240


async def test_without_a_report_the_heard_text_follows_the_clock(harness: Harness) -> None:
    event = await cancelled_at(harness, None)
    assert event.heard_text == ""  # nothing has been played yet
    assert event.unheard_text == "Hello there. How are you, **friend**? "


async def test_lost_events_do_not_count_as_sent(harness: Harness, engine: FakeEngine) -> None:
    context = await harness.open("a", "word " * 100, max_lead_ms=1600)
    await engine.wait_until(lambda: produced_ms(context) > 800)
    first, *_ = [await harness.send_one() for _ in range(3)]
    assert context.events.sent_ms == 240
    assert isinstance(first, Audio)
    missed = context.events.missed_since(first.seq)
    assert missed is not None
    context.events.resend(missed)
    assert context.events.sent_ms == 80
    assert context.events.playback.sent_ms == 80
    context.drop()


async def test_each_flush_is_answered_after_its_audio(harness: Harness) -> None:
    context = harness.make(Start("a"), 60_000)
    await context.open()
    context.flush("first")
    context.push("Hello there")
    context.flush("second")
    context.flush()
    context.end()
    sent = [event for event in await harness.send_all() if not isinstance(event, Word)]
    assert [type(event) for event in sent] == [Flushed, *[Audio] * 4, Segment, Flushed, Flushed, Done]
    assert [event.at_ms for event in sent if isinstance(event, Flushed)] == [0, 320, 320]


async def test_unanswered_flushes_are_limited(harness: Harness, engine: FakeEngine) -> None:
    engine.runner.may_step.clear()
    context = harness.make(Start("a"))
    await context.open()
    context.push("Hello there. ")
    for _ in range(100):
        context.flush()
    with pytest.raises(ProtocolError, match="100 flushes"):
        context.flush()
    context.drop()
    engine.runner.may_step.set()


async def test_verbatim_phrase_length_is_limited(harness: Harness) -> None:
    context = harness.make(Start("a", mode="verbatim"))
    with pytest.raises(ProtocolError, match="split it"):
        context.push("word " * 1_000)
    context.push("word " * 100)
    context.drop()


async def test_limits_of_the_caller_apply(harness: Harness) -> None:
    caller = Caller("key", Limits(contexts=1, chars_per_minute=10, voices=("bob",)), "key")
    context = harness.make(Start("a"), caller=caller)
    with pytest.raises(InputError, match="context limit of this key reached"):
        harness.make(Start("b"), caller=caller)
    context.push("Hello. ")
    with pytest.raises(ProtocolError, match="10 characters per minute") as caught:
        context.push("Hello. ")
    assert caught.value.code == "rate_limited"
    assert caught.value.retry_after_ms
    await context.open()
    assert harness.engine.fake_model.loaded == ["bob"]
    context.drop()
    other = harness.make(Start("b", voice="ann"), caller=caller)
    await other.open()
    (error,) = [out.event for out in harness.outbox.drain() if isinstance(out.event, Error)]
    assert error.code == "voice_not_allowed"


async def test_metrics_are_recorded(harness: Harness) -> None:
    await harness.open("a", "Hello there.", 60_000)
    await harness.send_all()
    shown = harness.metrics.render()[0].decode()
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


async def test_underrun_during_speech_is_recorded(harness: Harness, engine: FakeEngine) -> None:
    context = await harness.open("a", "word " * 100, max_lead_ms=1600)
    await engine.wait_until(lambda: produced_ms(context) > 800)
    clock = iter((0.0, 40.0, 500.0))
    now_ms = [0.0]
    context.events.playback._now_ms = lambda: now_ms[0]
    for now_ms[0] in clock:
        await harness.send_one()
    assert "sayline_underruns_total 1.0" in harness.metrics.render()[0].decode()
    assert "sayline_underrun_seconds_total 0.34" in harness.metrics.render()[0].decode()
    context.drop()


async def test_client_that_never_reads_pauses_only_its_own_speech(address: str, engine: FakeEngine) -> None:
    async with connected_client(address, max_queue=1, close_timeout=0.1) as stalled, connected_client(address) as other:
        await stalled.speak("word " * 10_000, max_lead_ms=1000)
        await engine.wait_until(lambda: bool(engine.utterances) and engine.utterances[0].lead_ms > 500)
        utterance = engine.utterances[0]
        for number in range(5):
            await other.speak("All is well. " * 10, f"c{number}", max_lead_ms=6000)
            await other.receive_until_final(f"c{number}")
            assert utterance.lead_ms <= 1000 + 80
        assert not utterance.over


async def test_client_that_reads_no_replies_is_not_read(address: str) -> None:
    async with connected_client(address, max_queue=1, close_timeout=0.1) as one, connected_client(address) as other:
        flood = asyncio.create_task(_flood(one, 1_500))
        for number in range(3):
            await other.speak("All is well.", f"c{number}")
            await other.receive_until_final(f"c{number}")
        for _ in range(1_500):
            assert (await one.receive())["code"] == "bad_message"
        await flood


async def _flood(one: object, count: int) -> None:
    for _ in range(count):
        await one.socket.send("nope" * 100)  # type: ignore[attr-defined]


async def test_words_ahead_are_those_of_the_start_or_of_the_server_and_none_without_extensions(
    harness: Harness, engine: FakeEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def words(start: Start) -> int:
        context = harness.make(start, 1000)
        context.drop()
        return context._lookahead_words()

    assert await words(Start("a", lookahead_words=3)) == 3
    assert await words(Start("b")) == 0
    harness.app_state = replace(harness.app_state, settings=Settings(lookahead_words=2))
    assert await words(Start("c")) == 2
    assert await words(Start("d", lookahead_words=0)) == 0
    monkeypatch.setattr(engine.fake_model, "device", torch.device("cuda"))
    assert await words(Start("e", lookahead_words=3)) == 0


async def test_open_sentence_is_heard_and_told_like_a_whole_one(harness: Harness, engine: FakeEngine) -> None:
    engine.fake_model.heads = AlignmentHeads(((0, 0),))
    context = harness.make(Start("a", lookahead_words=2), 60_000)
    await context.open()
    for piece in ("One two three ", "four five ", "six seven eight. ", "Nine."):
        context.push(piece)
        for _ in range(5):
            await asyncio.sleep(0)
    context.end()
    sent = await harness.send_all()
    words = [event for event in sent if isinstance(event, Word)]
    assert [word.text for word in words] == ["One", "two", "three", "four", "five", "six", "seven", "eight.", "Nine."]
    assert [event.text for event in sent if isinstance(event, Segment)] == [
        "One two three four five six seven eight.", "Nine.",
    ]  # fmt: skip
    assert isinstance(sent[-1], Done)


async def test_context_without_text_holds_no_slot(harness: Harness) -> None:
    silent = harness.make(Start("silent"))
    await silent.open()
    silent.push("")
    assert len(harness.engine_loop.streams) == harness.engine.slots_used == 0
    silent.push("Hello ")
    assert len(harness.engine_loop.streams) == harness.engine.slots_used == 1
    silent.cancel()


async def test_silent_contexts_leave_all_slots_to_those_that_speak() -> None:
    """As many sockets as slots, each with as many silent contexts, do not delay a listener."""
    harness = Harness(FakeEngine(slots=2))
    harness.engine_loop.start()
    for number in range(20):
        await harness.make(Start(f"silent {number}")).open()
    await harness.open("speaker", "Hello there.", wait=False)
    assert isinstance((await harness.send_all())[-1], Done)
    await harness.engine_loop.stop()


async def test_contexts_that_fell_silent_give_their_slots_to_those_that_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sayline_tts.engine.scheduling.admission.RECLAIM_S", 0.1)
    harness = Harness(FakeEngine(slots=2))
    harness.engine_loop.start()
    silent = [harness.make(Start(f"silent {number}", wait=False)) for number in range(2)]
    for each in silent:
        await each.open()
        each.push("Hello. ")
        each.flush()
    while not all(each._feeder.idle for each in silent):
        await harness.send_one()
    waiting = await harness.open("waiting", "Hello there.")
    async with asyncio.timeout(30):
        while waiting not in harness.ended:
            await harness.send_one()
    expired, *_ = harness.ended
    assert expired in silent
    assert expired._state is ContextState.FAILED
    assert len(harness.ended) == 2, "one slot is enough"
    await harness.engine_loop.stop()


async def test_context_that_ends_is_not_expired(harness: Harness) -> None:
    context = await harness.open("a", "Hello there.")
    context._on_reclaim()
    assert isinstance((await harness.send_all())[-1], Done)


async def test_context_that_another_server_had_begun_goes_on_behind_it(harness: Harness, engine: FakeEngine) -> None:
    engine.fake_model.heads = AlignmentHeads(((0, 0),), 0.0)
    context = harness.make(Start("a", format="pcm", progress=Progress(31, 24 * 1920, 12)), 60_000)
    await context.open()
    context.push(" It rains.")
    context.end()
    events = await harness.send_all()
    assert [event.seq for event in events] == list(range(31, 31 + len(events)))  # type: ignore[union-attr]
    assert [event.start_sample // 1920 for event in events if isinstance(event, Audio)] == [24, 25, 26, 27]
    words = [event for event in events if isinstance(event, Word)]
    assert [(word.text, word.start_char, word.end_char) for word in words] == [("It", 13, 15), ("rains.", 16, 22)]
    assert [word.start_ms for word in words] == [24 * 80.0, 26 * 80.0]
    assert all(event.start_ms >= 24 * 80 for event in events if isinstance(event, WordEnd))
    [segment] = [event for event in events if isinstance(event, Segment)]
    assert (segment.text, segment.start_char, segment.end_char) == ("It rains.", 13, 22)
    assert (segment.start_ms, segment.end_ms) == (24 * 80.0, 28 * 80.0)
    assert isinstance(last := events[-1], Done)
    assert last.duration_ms == 28 * 80
    assert isinstance(last.usage, Usage)
    assert (last.usage.taken_chars, last.usage.generated_ms, last.usage.heard_ms) == (10, 320.0, 320.0)


async def test_cancelled_context_counts_what_another_server_said(harness: Harness, engine: FakeEngine) -> None:
    engine.fake_model.heads = AlignmentHeads(((0, 0),), 0.0)
    for name, played_ms, heard_chars, heard_ms in (("a", 2080.0, 15, 160.0), ("b", 500.0, 12, 0.0)):
        context = harness.make(Start(name, format="pcm", progress=Progress(31, 24 * 1920, 12)), 60_000)
        await context.open()
        context.push(" It rains.")
        while not isinstance(await harness.send_one(), Segment):
            pass
        context.cancel(played_ms)
        assert isinstance(last := (await harness.send_all())[-1], Cancelled)
        assert (last.heard_chars, last.unheard_text) == (heard_chars, " It rains."[heard_chars - 12 :])
        assert last.duration_ms == 28 * 80
        assert isinstance(last.usage, Usage)
        assert last.usage.heard_ms == heard_ms
        harness.ended.clear()


async def test_rest_of_a_text_without_a_word_is_no_error(harness: Harness) -> None:
    context = harness.make(Start("a", progress=Progress(31, 24 * 1920, 12)))
    await context.open()
    context.push(" ...")
    context.end()
    [last] = await harness.send_all()
    assert isinstance(last, Done)
    assert (last.seq, last.duration_ms) == (31, 24 * 80)
